"""Read a search from its folder: its plan, and what each selection chose so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from copycat.config.errors import UserError
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.predictions import Predictions, read_predictions
from copycat.records.run_folder import SEARCH_FOLDER
from copycat.records.trial_file import ENDED, Trial
from copycat.sweeps.best.division import ALL_IMAGES
from copycat.sweeps.best.plan import SearchPlan
from copycat.sweeps.best.selection import EnsembleGain, Folds, find_ensemble, find_remaining, rank
from copycat.sweeps.sweep_file import FILE, read_sweep
from copycat.tables.run_reader import RunRecord, read_trials


@dataclass(frozen=True)
class Selection:
    """Hold the record of one selection."""

    folds: Mapping[str, Folds]
    """Predictions of each candidate that it compares, by inner fold."""
    remaining: Sequence[str]
    """Candidates that remain after the first fold, the best first; empty until all have ended it."""
    ranked: Sequence[str]
    """Those that completed all folds, the best first; empty until each remaining one has ended them."""
    final: Predictions | None
    """Predictions of the chosen model on the outer fold."""

    @property
    def chosen(self) -> str | None:
        """Return the candidate that it chose."""
        return self.ranked[0] if self.ranked else None


@dataclass(frozen=True)
class SearchRecord:
    """Hold a search as far as it was run."""

    folder: Path
    """That of the search's own trainings."""
    plan: SearchPlan
    trainings: Mapping[int, RunRecord]
    """By number."""
    selections: Sequence[Selection]

    @property
    def model(self) -> str | None:
        """Return the candidate that the selection on all images chose."""
        return self.selections[ALL_IMAGES].chosen

    @property
    def ensemble(self) -> EnsembleGain | None:
        """Return an ensemble that is proved to be better than the model."""
        first = self.selections[ALL_IMAGES]
        return find_ensemble({name: first.folds[name] for name in first.ranked}) if len(first.ranked) > 1 else None

    @property
    def measured(self) -> Sequence[int]:
        """Return the selections whose choice was evaluated on its outer fold."""
        return [number for number in self.plan.selections if number and self.selections[number].final is not None]

    @property
    def seconds(self) -> dict[str, float]:
        """Return the least seconds of a training of each candidate that completed one, on inner folds of all images."""
        found: dict[str, float] = {}
        for name in self.plan.names:
            numbers = [self.plan.number(ALL_IMAGES, name, fold) for fold in self.plan.folds()]
            trials = [self.trainings[one].trial for one in numbers if one in self.trainings]
            spent = [_seconds(trial) for trial in trials if trial is not None and trial.status == "completed"]
            if spent:
                found[name] = min(spent)
        return found

    def error(self, name: str) -> str | None:
        """Return why a candidate's first training failed."""
        record = self.trainings.get(self.plan.number(ALL_IMAGES, name, 0))
        return record.trial.error if record and record.trial and record.status == "failed" else None


def _seconds(trial: Trial) -> float:
    started, ended = (datetime.fromisoformat(at) for at in (trial.started, trial.ended or trial.started))
    return (ended - started).total_seconds()


def read_search(sweep: Path) -> SearchRecord:
    """Read the search of a sweep.

    Raises:
        UserError: where its record cannot be read.
    """
    folder = sweep / SEARCH_FOLDER
    try:
        plan = parse_dataclass(SearchPlan, read_sweep(folder).search or {})
    except ValueError as error:
        raise UserError(f"{folder / FILE}: expected the record of a search; {error}.") from error
    return read_selections(folder, plan)


def read_selections(folder: Path, plan: SearchPlan) -> SearchRecord:
    """Read the trainings in the folder of a search."""
    trainings = {record.trial.number: record for record in read_trials(folder) if record.trial is not None}
    return SearchRecord(
        folder, plan, trainings, [_read_selection(plan, trainings, number) for number in plan.selections]
    )


def _read_selection(plan: SearchPlan, trainings: Mapping[int, RunRecord], number: int) -> Selection:
    compared = plan.names if plan.admitted is None else plan.admitted
    ended = {
        name: {fold: record for fold in plan.folds() if (record := _find(plan, trainings, number, name, fold))}
        for name in compared
    }
    folds: dict[str, Folds] = {}
    for name, records in ended.items():
        found = {fold: _read(record, "val") for fold, record in records.items()}
        folds[name] = {fold: predictions for fold, predictions in found.items() if predictions is not None}
    remaining: Sequence[str] = []
    if plan.admitted is not None and all(0 in records for records in ended.values()):
        remaining = find_remaining({name: found[0] for name, found in folds.items() if 0 in found})
    is_done = remaining and all(len(ended[name]) == plan.inner_folds for name in remaining)
    whole = {name: folds[name] for name in remaining if len(folds[name]) == plan.inner_folds} if is_done else {}
    ranked = rank(whole)
    final = None
    if number != ALL_IMAGES and ranked:
        last = _find(plan, trainings, number, ranked[0], None)
        final = None if last is None else _read(last, "test")
    return Selection(folds, remaining, ranked, final)


def _find(
    plan: SearchPlan, trainings: Mapping[int, RunRecord], selection: int, name: str, fold: int | None
) -> RunRecord | None:
    """Return a training that ended."""
    record = trainings.get(plan.number(selection, name, fold))
    return record if record is not None and record.status in ENDED else None


def _read(record: RunRecord, part: str) -> Predictions | None:
    """Return the predictions of a training; None where it failed."""
    if record.status != "completed" or record.manifest is None:
        return None
    try:
        return read_predictions(record.folder, classes=len(record.manifest["data"]["classes"])).get(part)
    except (OSError, ValueError):
        return None
