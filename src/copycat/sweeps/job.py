"""Describe a trial that is to run: its number, its overrides, and the values that they set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.application import quote_path
from copycat.records.trial_file import Trial


@dataclass(frozen=True)
class Job:
    """Describe a trial to run."""

    number: int
    overrides: list[str]
    """Overrides of this trial, and those that all trials share."""
    values: dict[str, Any]
    inside: Path = Path()
    """Folder of its folder, below the sweep's."""

    @property
    def run_overrides(self) -> list[str]:
        """Return the overrides that configure the run, without those of the node `sweep`."""
        return [word for word in self.overrides if not is_sweep_override(word)]

    @property
    def launch_overrides(self) -> list[str]:
        """Return the overrides for a launcher: all of them, and the name of the trial's folder."""
        return [*self.overrides, f"hydra.sweep.subdir={quote_path(self.inside / str(self.number))}"]


def recorded_job(trial: Trial, fixed: Sequence[str]) -> Job:
    """Return the job of a recorded trial, with its recorded overrides and the present ones of the node `sweep`."""
    return Job(trial.number, [*trial.overrides, *(word for word in fixed if is_sweep_override(word))], trial.values)


def is_sweep_override(word: str) -> bool:
    """Return whether an override is one of the node `sweep`."""
    return word.startswith(("sweep.", "sweep="))
