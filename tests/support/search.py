"""Run a search without training: a function computes each trial's objectives from its values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from copycat.config.sweep_composition import SweepRequest, compose_sweep
from copycat.records.trial_file import Trial, read_trial, write_trial
from copycat.sweeps.job import Job
from copycat.sweeps.search.proposals import Search
from copycat.sweeps.start import open_sweep_folder
from copycat.training.manifest import now

Result = Callable[[Mapping[str, Any]], list[float] | None]
"""Computes the objectives of a trial from its values; None for a failed trial."""


@cache
def compose_search(*overrides: str) -> SweepRequest:
    """Compose an Optuna sweep, once per set of overrides."""
    return compose_sweep(["hydra/sweeper=optuna", *overrides])


def start_search(*overrides: str, at: Path) -> Search:
    """Start a search in a folder, or resume the one that is there."""
    request = compose_search(*overrides)
    request = replace(request, settings={**request.settings, "folder": str(at)})
    open_sweep_folder(request)
    return Search(request.space, at, request.sweeper, request.settings, owner="test")


def learning_rate_loss(values: Mapping[str, Any]) -> list[float]:
    """Return a loss that is least at a learning rate of 0.01."""
    return [(math.log10(values["optimizer.lr"]) + 2) ** 2 + 0.1 * len(str(values.get("model", "")))]


def finish_trial(search: Search, job: Job, result: Result = learning_rate_loss) -> Trial:
    """Write a trial's result to its folder, and report it to the study."""
    folder, values = search.folder / str(job.number), result(job.values)
    trial = Trial(number=job.number, overrides=job.run_overrides, values=job.values, started=now(), ended=now())
    if values is None:
        trial = replace(trial, status="failed", error="it was made to")
    else:
        trial = replace(trial, status="completed", objectives=dict(zip(search.wanted, values, strict=True)))
    write_trial(folder, trial)
    search.mark_done(job, read_trial(folder))
    return trial


def run_trials(search: Search, most: int = 1000, result: Result = learning_rate_loss) -> list[dict[str, Any]]:
    """Run up to `most` proposed trials in order; return the values of each."""
    found: list[dict[str, Any]] = []
    while len(found) < most and (job := search.next()):
        finish_trial(search, job, result)
        found.append(job.values)
    return found
