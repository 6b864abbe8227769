"""Run, resume or skip one trial of a sweep in any process, and record the result in its folder."""

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from copycat.config.compose import Request
from copycat.config.composition import resolve, split_hydra_node
from copycat.config.errors import hides_interrupt
from copycat.config.search_space_builder import has_pruner
from copycat.config.trial_composition import TrialRequest, compose_trial, make_trial_request
from copycat.records.lock import LockedError
from copycat.records.run_folder import RACE_FOLDER
from copycat.records.trial_file import ENDED, Trial, read_trial, write_trial
from copycat.sweeps.search.objectives import get_named_metrics, get_objectives
from copycat.sweeps.trial_folder import conclude_trial, fail_trial, find_run, start_attempt, wait_until_free
from copycat.training.manifest import now
from copycat.training.result import RunResult
from copycat.training.resume import resume
from copycat.training.stopping import Limits, Pruner
from copycat.training.train import train

log = logging.getLogger(__name__)
INTERRUPTED = "interrupted"
"""Result of a trial that a signal ended."""


def run_trial(config: DictConfig) -> float | None:
    """Run a trial in the folder that Hydra names, write trial.json, and return the first objective, or None if none.

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
    """Run a trial unless it has ended, and write trial.json; raise LockedError if another process runs it."""
    wait_until_free(folder)
    trial = read_trial(folder)
    if trial.status not in ENDED:
        trial = start_attempt(folder, trial)
        trial = replace(trial if trial.status in ENDED else _run_to_end(folder, trial, get_request), ended=now())
        write_trial(folder, trial)
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
    """Run a trial to its end and return its record; a signal or another process that runs it raises an error."""
    try:
        composed = get_request()
        settings, pruner = composed.settings, make_pruner(composed, folder)
        request = Request(config=composed.config, experiment=composed.experiment, overrides=trial.overrides)
        limits = Limits(seconds=settings["max_seconds"], pruner=pruner, quiet=True, metrics=get_named_metrics(settings))
        outcome = _run_or_resume(folder, request, limits)
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        return conclude_trial(trial, outcome, settings)
    except LockedError:
        raise
    except Exception as failure:  # of a network or a callback, say: the sweep continues
        if hides_interrupt(failure):
            raise KeyboardInterrupt from failure
        return fail_trial(trial, failure)


def _run_or_resume(folder: Path, request: Request, limits: Limits) -> RunResult:
    """Return the outcome of a run that has ended; otherwise resume it, or start it."""
    opened = find_run(folder, request.overrides)
    if opened is None:
        return train(request, folder=folder, limits=limits)
    if opened.manifest["status"] in ENDED:
        return RunResult(folder, str(opened.manifest["status"]), opened.manifest)
    return resume(opened, notify=log.info, limits=limits)


def make_pruner(request: TrialRequest, folder: Path) -> Pruner | None:
    """Make the check that ends a trial of a search early; None if the sweeper has no pruner, or it is one of a race."""
    if not has_pruner(request.sweeper) or folder.parent.name == RACE_FOLDER:
        return None
    from copycat.sweeps.search import study

    return study.make_pruner(request.sweeper, folder, next(iter(get_objectives(request.settings))))
