"""Write sweep folders without training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.records.trial_file import Trial, write_trial
from copycat.sweeps.sweep_file import SweepFile, write_sweep
from copycat.tables.statistics import Direction
from tests.support.run_folders import write_run

STARTED = "2026-01-01T00:00:00.000+00:00"


def make_trial(
    number: int, values: Mapping[str, Any], *objectives: float, status: str = "completed", **more: Any
) -> Trial:
    """Build a trial with up to two objectives: val/loss and parameters."""
    named = dict(zip(("val/loss", "parameters"), objectives, strict=False))
    return Trial(
        number=number, overrides=[], values=dict(values), objectives=named, status=status, started=STARTED, **more
    )


def write_sweep_folder(
    folder: Path,
    trials: Sequence[Trial],
    *,
    space: Mapping[str, str],
    objectives: Mapping[str, Direction] | None = None,
) -> Path:
    """Write a completed sweep of these trials, none of which has a run inside; return its folder."""
    for trial in trials:
        write_trial(folder / str(trial.number), trial)
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


def write_trial_folder(
    sweep: Path, number: int, values: Mapping[str, Any], *, status: str, **objectives: float
) -> None:
    """Write a trial and, unless it failed, its run folder; `_` in an objective's name stands for `/`."""
    overrides = [f"{key}={value}" for key, value in values.items()]
    named = {name.replace("_", "/"): value for name, value in objectives.items()}
    trial = Trial(
        number=number,
        overrides=overrides,
        values=dict(values),
        status=status,
        error="it went wrong" if status == "failed" else None,
        objectives=named,
        started="2026-11-24T00:00:00.000+00:00",
    )
    write_trial(sweep / str(number), trial)
    if status != "failed":
        write_run(sweep / str(number), status=status, overrides=overrides, final=named, best=named)
