"""Sweeps' folders as a sweep would leave them, without a run inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.runs.figures import Direction
from copycat.runs.trial_file import Trial, write_trial
from copycat.sweeps.sweep_file import SweepFile, write_sweep

STARTED = "2026-01-01T00:00:00.000+00:00"


def trial(number: int, values: Mapping[str, Any], *objectives: float, status: str = "completed", **more: Any) -> Trial:
    """A trial with as many objectives, the first of which is val/loss."""
    names = ("val/loss", "parameters")
    found = dict(zip(names, objectives, strict=False))
    return Trial(
        number=number, overrides=[], values=dict(values), objectives=found, status=status, started=STARTED, **more
    )


def make_sweep(
    folder: Path,
    trials: Sequence[Trial],
    *,
    space: Mapping[str, str],
    objectives: Mapping[str, Direction] | None = None,
) -> Path:
    for found in trials:
        write_trial(folder / str(found.number), found)
    write_sweep(
        folder,
        SweepFile(
            id="0" * 16,
            status="completed",
            error=None,
            started=STARTED,
            ended=STARTED,
            experiment="sweep",
            words=[],
            output_dir="outputs",
            sweeper="optuna",
            trials=len(trials),
            objectives=dict(objectives or {"val/loss": "minimize"}),
            varies=[*space],
            config_keys={},
            space=dict(space),
        ),
    )
    return folder
