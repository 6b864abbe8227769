"""A search without training: what a trial gives is made up from its values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from copycat.config.compose import SweepRequest, compose_sweep
from copycat.runs.manifest import now
from copycat.runs.trial_file import Trial, read_trial, write_trial
from copycat.sweeps.engine import Job
from copycat.sweeps.search import Search
from copycat.sweeps.sweep import begin

Result = Callable[[Mapping[str, Any]], list[float] | None]
"""Objectives of a trial with these values; None where it fails."""


@cache
def asked_for(*words: str) -> SweepRequest:
    return compose_sweep(["hydra/sweeper=optuna", *words])


def search(*words: str, at: Path) -> Search:
    """A search that begins in a folder, or goes on there."""
    asked = asked_for(*words)
    asked = replace(asked, settings={**asked.settings, "folder": str(at)})
    begin(asked)
    return Search(asked.space, at, asked.sweeper, asked.settings, owner="test")


def loss(values: Mapping[str, Any]) -> list[float]:
    """Least at a rate of 0.01."""
    return [(math.log10(values["optimizer.lr"]) + 2) ** 2 + 0.1 * len(str(values.get("model", "")))]


def end(of: Search, job: Job, result: Result = loss) -> Trial:
    """Write down what came of a trial, and tell the study."""
    folder, values = of.folder / str(job.number), result(job.values)
    trial = Trial(number=job.number, overrides=job.of_run, values=job.values, started=now(), ended=now())
    if values is None:
        trial = replace(trial, status="failed", error="it was made to")
    else:
        trial = replace(trial, status="completed", objectives=dict(zip(of.wanted, values, strict=True)))
    write_trial(folder, trial)
    of.done(job, read_trial(folder))
    return trial


def go(of: Search, most: int = 1000, result: Result = loss) -> list[dict[str, Any]]:
    """Values of the trials that it proposes, one after the other."""
    found: list[dict[str, Any]] = []
    while len(found) < most and (job := of.next()):
        end(of, job, result)
        found.append(job.values)
    return found
