"""Which runs a calibration is written to, and on which images each is fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from copycat.config.added_keys import ADDED_DEFAULTS
from copycat.config.errors import UserError
from copycat.config.suggestions import format_value, one_of
from copycat.deploy.arguments import DIVISION_KEYS, find_completed, open_completed
from copycat.deploy.calibration_sample import (
    Sample,
    read_half_sample,
    read_out_of_fold_sample,
    read_validation_sample,
)
from copycat.deploy.ensemble_members import Folds, check_all_folds, check_same_pool, key_without_fold
from copycat.records.requested_values import with_requested_values
from copycat.records.run_folder import MANIFEST
from copycat.records.run_loader import Opened, open_run
from copycat.records.trial_file import FILE as TRIAL

How = Literal["validation", "half", "out of fold"]
RECIPE = (
    *("model", "loss", "initialization", "optimizer", "scheduler", "augmentation", "trainer", "data"),
    *("normalize", "lr_multipliers", "decay_bias_and_norm"),
)
"""Keys and groups that a run must share with the folds whose predictions calibrate it."""

DIVISION = ("trainer.threads", *DIVISION_KEYS)
"""Keys in which they may differ."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Hold one calibration to be made."""

    runs: Sequence[Opened]
    """The runs that it is written to."""
    read_sample: Callable[[], Sample]
    sources: Sequence[Opened]
    """The runs whose predictions it is fitted on."""
    rivals: int
    """Configurations or trials that the same images may have ranked."""

    @property
    def classes(self) -> Sequence[str]:
        """Return the names of the classes, by label."""
        return list(self.runs[0].manifest["data"]["classes"])

    @property
    def is_multi_label(self) -> bool:
        """Return whether images may have several classes, or none."""
        return bool(self.runs[0].manifest["data"].get("multi_label"))

    @property
    def images(self) -> int:
        """Return the number of validation images, as the manifests have it."""
        return sum(source.manifest["data"]["images"]["val"] for source in self.sources)


def make_plans(folder: Path, *, how: How | None, sweep: Path | None = None) -> list[Plan]:
    """Plan the calibrations of a run, or of all completed runs of a sweep.

    A run of a fold sweep is fitted on the out-of-fold predictions of its configuration, any other on its validation
    images, unless `how` says which. `sweep` is a fold sweep of the same configuration.

    Raises:
        UserError: where there is no completed run, or a fold is missing.
    """
    is_one_run = not folder.is_dir() or (folder / MANIFEST).exists()
    runs = [open_completed(folder)] if is_one_run else [open_run(run) for run in find_completed(folder)]
    if sweep is not None:
        return [_plan_folds([run], _same_recipe(run, sweep), rivals=1) for run in runs]
    trials = _open_siblings(folder) if is_one_run and (runs[0].folder / TRIAL).exists() else runs
    models = _group(trials)
    if how in ("validation", "half"):
        return [_plan_run(run, half=how == "half", rivals=len(models)) for run in runs]
    plans: list[Plan] = []
    for key, folds in models.items():
        members = [run for run in runs if key_without_fold(run) == key]
        if not members:
            continue
        in_folds = None not in folds
        if how == "out of fold" or (in_folds and (not is_one_run or _is_whole(folds))):
            if not in_folds:
                raise UserError(
                    f"{folder}: expected a run of a sweep of folds; got one without."
                    f" Type copycat calibrate {quote(str(folder))} --out-of-fold SWEEP."
                )
            plans.append(_plan_folds(members, folds, rivals=len(models)))
        else:
            plans += [_plan_run(run, half=False, rivals=len(models)) for run in members]
    return plans


def _group(runs: Sequence[Opened]) -> dict[str, Folds]:
    """Return runs by configuration, then by fold."""
    models: dict[str, Folds] = {}
    for run in runs:
        models.setdefault(key_without_fold(run), {})[run.config["data"].get("fold")] = run
    return models


def _open_siblings(folder: Path) -> list[Opened]:
    """Open the completed trials of the sweep that a trial belongs to."""
    return [open_run(run) for run in find_completed(folder.absolute().parent)]


def _is_whole(folds: Folds) -> bool:
    try:
        check_all_folds(folds)
    except UserError:
        return False
    return True


def _plan_run(run: Opened, *, half: bool, rivals: int) -> Plan:
    read = read_half_sample if half else read_validation_sample
    return Plan(runs=[run], read_sample=partial(read, run), sources=[run], rivals=rivals)


def _plan_folds(runs: Sequence[Opened], folds: Folds, *, rivals: int) -> Plan:
    if not _is_whole(folds):
        count, got = folds[next(iter(folds))].config["data"]["folds"], one_of(map(format_value, folds))
        raise UserError(
            f"{runs[0].user_path}: expected each of the {count} folds to be completed; got data.fold={got}."
            " Type copycat resume SWEEP, or copycat calibrate RUN --validation."
        )
    check_same_pool(folds)
    return Plan(
        runs=runs, read_sample=partial(read_out_of_fold_sample, folds), sources=list(folds.values()), rivals=rivals
    )


def _same_recipe(run: Opened, sweep: Path) -> Folds:
    """Return the folds in a sweep of a run's configuration: of its seed, or of the first one.

    Raises:
        UserError: where there are none, or of other classes.
    """
    models = _group([open_run(fold) for fold in find_completed(sweep)])
    alike = [folds for folds in models.values() if _recipe(next(iter(folds.values()))) == _recipe(run)]
    if not alike:
        first = _recipe(next(iter(next(iter(models.values())).values())))
        differ = [key for key in dict.fromkeys([*first, *_recipe(run)]) if first.get(key) != _recipe(run).get(key)]
        raise UserError(
            f"--out-of-fold: expected folds of the same configuration; got {sweep}, where {one_of(differ)} differ."
        )
    same_seed = [folds for folds in alike if next(iter(folds.values())).config["seed"] == run.config["seed"]]
    folds = (same_seed or alike)[0]
    if next(iter(folds.values())).manifest["data"]["classes"] != run.manifest["data"]["classes"]:
        raise UserError(f"--out-of-fold: expected the run's classes; got those of {sweep}.")
    if None in folds:
        raise UserError(f"--out-of-fold: expected a sweep over data.fold; got {sweep}, which has no folds.")
    return folds


def _recipe(run: Opened) -> Mapping[str, Any]:
    config = {**ADDED_DEFAULTS, **with_requested_values(run.config, run.manifest["request"])}
    return {
        key: repr(value)
        for key, value in config.items()
        if key.partition(".")[0] in RECIPE and key not in DIVISION and value is not None
    }
