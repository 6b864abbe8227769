"""One trial of a sweep, in whichever process: begun, gone on with, or found done; its folder says what came of it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from copycat.config.compose import Request, TrialRequest, compose_trial, make_trial_request
from copycat.config.composition_cache import resolve, split_hydra_node
from copycat.config.printable import print_line
from copycat.config.searches import has_pruner
from copycat.config.suggestions import describe_error, first_line
from copycat.records.lock import LockedError
from copycat.records.metrics_csv import count_epochs
from copycat.records.trial_file import ENDED, FILE, Trial, read_own_trial, read_trial, write_trial
from copycat.sweeps.search.objectives import measured, named_metrics, objectives, violations
from copycat.sweeps.trial_folder import find_run, wait_until_free
from copycat.training.manifest import now
from copycat.training.result import RunResult
from copycat.training.resume import resume
from copycat.training.stopping import Limits, Pruner
from copycat.training.train import train

log = logging.getLogger(__name__)
INTERRUPTED = "interrupted"
"""What a process says of a trial that a signal ended."""
DEATHS = 3
"""Workers that die of a trial, without getting further, after which it counts as failed: it may take all memory."""
ATTEMPTS = 6
"""The same where the sweep's own process dies, which may be for other reasons."""


def run_trial(config: DictConfig) -> float | None:
    """Run a trial in the folder that Hydra names, and write trial.json.

    Returns:
        The first objective's value; None where there is none.

    Raises:
        KeyboardInterrupt: where a signal ended it.
    """
    running = HydraConfig.get()
    folder = Path(running.sweep.dir, str(running.sweep.subdir))
    whole: Any = deepcopy(HydraConfig.instance().cfg)
    trial = _run(folder, lambda: make_trial_request(replace(split_hydra_node(whole), config=resolve(config))))
    return next(iter(trial.objectives.values()), None)


def _run(folder: Path, asked: Callable[[], TrialRequest]) -> Trial:
    """Run a trial, unless it ended, and write trial.json.

    Raises:
        LockedError: where another process runs it; then nothing in its folder is touched.
    """
    wait_until_free(folder)
    trial = read_trial(folder)
    if trial.status not in ENDED:
        trial = started(folder, trial)
        trial = replace(trial if trial.status in ENDED else _ended(folder, trial, asked), ended=now())
        write_trial(folder, trial)
    return trial


def started(folder: Path, trial: Trial) -> Trial:
    """The trial as it starts once more; failed where it has died too often."""
    reached = _epochs(folder)
    attempts = 1 if reached > trial.epochs_at_start else trial.attempts + 1
    trial = replace(trial, attempts=attempts, epochs_at_start=reached)
    write_trial(folder, trial)
    if attempts > ATTEMPTS:
        error = f"its process died {ATTEMPTS} times at epoch {trial.epochs_at_start}: killed, or out of memory?"
        return replace(trial, status="failed", error=error)
    return trial


def words_of_sweep(config: DictConfig) -> list[str]:
    """Words of Hydra's own that all trials of a sweep share, for a process that composes one by itself."""
    return [word for word in config.hydra.overrides.hydra if not word.startswith("hydra.mode=")]


def run_words(words: Sequence[str]) -> str | None:
    """Run a trial in a process that may have run others of its sweep; Hydra need not have been set up in it.

    Args:
        words: of the trial and of Hydra's own, the trial's folder among them.

    Returns:
        INTERRUPTED where a signal ended it; what is to be said of one that another process runs.
    """
    try:
        _run(*compose_trial(words))
    except KeyboardInterrupt:
        return INTERRUPTED
    except LockedError as error:
        return str(error)
    return None


def _ended(folder: Path, trial: Trial, asked: Callable[[], TrialRequest]) -> Trial:
    """The trial as it ends."""
    try:
        found = asked()
        settings = found.settings
        request = Request(config=found.config, experiment=found.experiment, overrides=trial.overrides)
        judge = judge_of(found.sweeper, folder, next(iter(objectives(settings))))
        limits = Limits(seconds=settings["max_seconds"], pruner=judge, quiet=True, metrics=named_metrics(settings))
        outcome = _outcome(folder, request, limits)
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        return came_of(trial, outcome, settings)
    except LockedError:
        raise
    except Exception as failure:  # of a network, a callback: it does not take its sweep with it
        return failed(trial, failure)


def failed(trial: Trial, failure: Exception) -> Trial:
    """The trial, with why it failed."""
    return replace(trial, status="failed", error=describe_error(failure))


def came_of(trial: Trial, outcome: RunResult, settings: Mapping[str, Any]) -> Trial:
    """The trial, with what its run gave.

    Args:
        settings: the node `sweep`.
    """
    wanted, error = objectives(settings), outcome.manifest["error"]
    if outcome.status == "failed":
        return replace(trial, status="failed", error=error)
    values = measured(outcome.folder, outcome.manifest, wanted)
    lacking = [name for name in wanted if name not in values]
    if lacking:
        return replace(trial, status="failed", error=f"no {lacking[0]} was measured")
    found = {name: values[name] for name in wanted}
    trial = replace(trial, status=outcome.status, error=error, objectives=found)
    if outcome.status != "completed":
        return trial
    broken = violations(settings["constraints"], values)
    return replace(trial, violated_constraints=[text for text, by in broken.items() if by > 0])


def _epochs(folder: Path) -> int:
    try:
        return count_epochs(folder)
    except (OSError, ValueError):
        return 0


def _outcome(folder: Path, request: Request, limits: Limits) -> RunResult:
    """Of the run: found where it is done, gone on with where it was begun, else begun."""
    opened = find_run(folder, request.overrides)
    if opened is None:
        return train(request, folder=folder, limits=limits)
    if opened.manifest["status"] in ENDED:
        return RunResult(folder, str(opened.manifest["status"]), opened.manifest)
    return resume(opened, say=log.info, limits=limits)


def judge_of(sweeper: Mapping[str, Any], folder: Path, objective: str) -> Pruner | None:
    """What ends a trial of a search early; None where nothing does."""
    if not has_pruner(sweeper):
        return None
    from copycat.sweeps.search.study import judge

    return judge(sweeper, folder, objective)


def first_record(folder: Path, number: int, overrides: list[str], values: dict[str, Any]) -> None:
    """Write trial.json of a trial that is about to start, where there is none yet that the user made."""
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
