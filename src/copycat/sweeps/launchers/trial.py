"""Run, resume or skip one trial of a sweep in any process, and record the result in its folder."""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from copycat.config.compose import Request
from copycat.config.composition import resolve, split_hydra_node
from copycat.config.printable import print_line
from copycat.config.searches import has_pruner
from copycat.config.suggestions import describe_error, first_line
from copycat.config.trial_composition import TrialRequest, compose_trial, make_trial_request
from copycat.records.lock import LockedError
from copycat.records.metrics_csv import count_epochs
from copycat.records.trial_file import ENDED, FILE, Trial, read_own_trial, read_trial, write_trial
from copycat.sweeps.search.objectives import compute_violations, get_named_metrics, get_objectives, read_values
from copycat.sweeps.trial_folder import find_run, wait_until_free
from copycat.training.manifest import now
from copycat.training.result import RunResult
from copycat.training.resume import resume
from copycat.training.stopping import Limits, Pruner
from copycat.training.train import train

log = logging.getLogger(__name__)
INTERRUPTED = "interrupted"
"""Result of a trial that a signal ended."""
DEATHS = 3
"""Deaths of workers at the same epoch after which a trial counts as failed: it may take all memory."""
ATTEMPTS = 6
"""The same limit for deaths of the sweep's own process, which may have other causes."""


def run_trial(config: DictConfig) -> float | None:
    """Run a trial in the folder that Hydra names, and write trial.json.

    Returns:
        The first objective's value, or None if there is none.

    Raises:
        KeyboardInterrupt: if a signal ended it.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.sweep.dir, str(hydra.sweep.subdir))
    hydra_config: Any = deepcopy(HydraConfig.instance().cfg)
    trial = _run_unless_ended(
        folder, lambda: make_trial_request(replace(split_hydra_node(hydra_config), config=resolve(config)))
    )
    return next(iter(trial.objectives.values()), None)


def _run_unless_ended(folder: Path, get_request: Callable[[], TrialRequest]) -> Trial:
    """Run a trial unless it has ended, and write trial.json.

    Raises:
        LockedError: if another process runs it; then its folder stays as it is.
    """
    wait_until_free(folder)
    trial = read_trial(folder)
    if trial.status not in ENDED:
        trial = start_attempt(folder, trial)
        trial = replace(trial if trial.status in ENDED else _run_to_end(folder, trial, get_request), ended=now())
        write_trial(folder, trial)
    return trial


def start_attempt(folder: Path, trial: Trial) -> Trial:
    """Record another start of a trial; return it as failed if its process died too often."""
    epochs = _count_epochs(folder)
    attempts = 1 if epochs > trial.epochs_at_start else trial.attempts + 1
    trial = replace(trial, attempts=attempts, epochs_at_start=epochs)
    write_trial(folder, trial)
    if attempts > ATTEMPTS:
        error = f"its process died {ATTEMPTS} times at epoch {trial.epochs_at_start}: killed, or out of memory?"
        return replace(trial, status="failed", error=error)
    return trial


def get_hydra_overrides(config: DictConfig) -> list[str]:
    """Return the overrides of Hydra's own node, which a process needs to compose a trial by itself."""
    return [word for word in config.hydra.overrides.hydra if not word.startswith("hydra.mode=")]


def compose_and_run(overrides: Sequence[str]) -> str | None:
    """Compose and run a trial, in a process that may have run others and need not have set up Hydra.

    Args:
        overrides: of the trial and of Hydra's own node, with the trial's folder.

    Returns:
        INTERRUPTED if a signal ended it, a message if another process runs it, else None.
    """
    try:
        _run_unless_ended(*compose_trial(overrides))
    except KeyboardInterrupt:
        return INTERRUPTED
    except LockedError as error:
        return str(error)
    return None


def _run_to_end(folder: Path, trial: Trial, get_request: Callable[[], TrialRequest]) -> Trial:
    """Run a trial to its end and return its record.

    Raises:
        KeyboardInterrupt: if a signal ended it.
        LockedError: if another process runs it.
    """
    try:
        composed = get_request()
        settings = composed.settings
        request = Request(config=composed.config, experiment=composed.experiment, overrides=trial.overrides)
        pruner = make_pruner(composed.sweeper, folder, next(iter(get_objectives(settings))))
        limits = Limits(seconds=settings["max_seconds"], pruner=pruner, quiet=True, metrics=get_named_metrics(settings))
        outcome = _run_or_resume(folder, request, limits)
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        return conclude_trial(trial, outcome, settings)
    except LockedError:
        raise
    except Exception as failure:  # of a network or a callback, say: the sweep continues
        return fail_trial(trial, failure)


def fail_trial(trial: Trial, failure: Exception) -> Trial:
    """Return the record of a trial that failed by an error."""
    return replace(trial, status="failed", error=describe_error(failure))


def conclude_trial(trial: Trial, outcome: RunResult, settings: Mapping[str, Any]) -> Trial:
    """Return the record of a trial whose run ended: status, objectives, violated constraints.

    Args:
        trial: the record so far.
        outcome: of the run.
        settings: the node `sweep`.
    """
    wanted, error = get_objectives(settings), outcome.manifest["error"]
    if outcome.status == "failed":
        return replace(trial, status="failed", error=error)
    values = read_values(outcome.folder, outcome.manifest, wanted)
    lacking = [name for name in wanted if name not in values]
    if lacking:
        return replace(trial, status="failed", error=f"no {lacking[0]} was measured")
    reached = {name: values[name] for name in wanted}
    trial = replace(trial, status=outcome.status, error=error, objectives=reached)
    if outcome.status != "completed":
        return trial
    broken = compute_violations(settings["constraints"], values)
    return replace(trial, violated_constraints=[text for text, by in broken.items() if by > 0])


def _count_epochs(folder: Path) -> int:
    try:
        return count_epochs(folder)
    except (OSError, ValueError):
        return 0


def _run_or_resume(folder: Path, request: Request, limits: Limits) -> RunResult:
    """Return the outcome of a run that has ended; otherwise resume it, or start it."""
    opened = find_run(folder, request.overrides)
    if opened is None:
        return train(request, folder=folder, limits=limits)
    if opened.manifest["status"] in ENDED:
        return RunResult(folder, str(opened.manifest["status"]), opened.manifest)
    return resume(opened, say=log.info, limits=limits)


def make_pruner(sweeper: Mapping[str, Any], folder: Path, objective: str) -> Pruner | None:
    """Make the check that ends a trial of a search early; None if the sweeper has no pruner."""
    if not has_pruner(sweeper):
        return None
    from copycat.sweeps.search import study

    return study.make_pruner(sweeper, folder, objective)


def write_first_record(folder: Path, number: int, overrides: list[str], values: dict[str, Any]) -> None:
    """Write trial.json of a trial that is about to start, unless the user's own exists."""
    if read_own_trial(folder) is not None:
        return
    try:
        record = replace(read_trial(folder), number=number, overrides=overrides, values=values)
    except FileNotFoundError:
        record = None
    except (OSError, ValueError) as error:
        print_line(f"copycat: {folder / FILE}: expected what a trial says of itself; {first_line(error)}", error=True)
        record = None
    write_trial(folder, record or Trial(number=number, overrides=overrides, values=values, attempts=0, started=now()))
