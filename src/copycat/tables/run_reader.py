"""Read one record per run from its folder, for tables, plots and summaries. Imports nothing heavy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.renamed_keys import current_words
from copycat.records import trial_file
from copycat.records.lock import RUNNING, current_status
from copycat.records.reader import read_checked_manifest
from copycat.records.run_folder import KEYS_RENAMED
from copycat.records.safe_parsers import naming_file


@dataclass(frozen=True)
class RunRecord:
    """Hold a run, or a trial of a sweep; a trial that failed before its run started has no manifest."""

    folder: Path
    manifest: Mapping[str, Any] | None
    trial: trial_file.Trial | None
    """None for a run outside a sweep."""

    @property
    def status(self) -> str:
        """Return the recorded status, but `killed` for a run recorded as running whose process is gone."""
        return current_run_status(self.recorded_status, self.folder, is_trial=self.trial is not None)

    @property
    def recorded_status(self) -> str:
        """Return the status as recorded: of the trial, but of the run where the trial is not recorded as ended."""
        if self.trial is not None and self.trial.status != RUNNING:
            return self.trial.status
        return str(self.manifest["status"]) if self.manifest else RUNNING

    @property
    def overrides(self) -> Sequence[str]:
        """Return the overrides of the trial, or of the run."""
        return self.trial.overrides if self.trial else self.manifest["request"]["overrides"] if self.manifest else []

    @property
    def final(self) -> Mapping[str, float]:
        """Return the metrics of the final weights."""
        metrics: Mapping[str, float] = self.manifest["results"].get("final", {}) if self.manifest else {}
        return metrics

    @property
    def best(self) -> Mapping[str, float]:
        """Return the metrics of the best epoch."""
        metrics: Mapping[str, float] = (
            self.manifest["results"].get("best", {}).get("metrics", {}) if self.manifest else {}
        )
        return metrics


def current_run_status(recorded: str, folder: Path, *, is_trial: bool) -> str:
    """Return the recorded status, but `killed` for a run recorded as running whose process is gone."""
    # a trial may be between two processes while its sweep runs
    return current_status(recorded, folder, *([folder.parent] if is_trial else []))


def read_record(folder: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        DamagedFileError: where run.json or trial.json is invalid.
        FileNotFoundError: where there is neither.
    """
    trial = None
    if (folder / trial_file.FILE).exists():
        with naming_file(folder / trial_file.FILE, "the record of a trial"):
            trial = trial_file.read_trial(folder)
    try:
        manifest = read_checked_manifest(folder)
    except FileNotFoundError:
        if trial is None:
            raise
        manifest = None
    if manifest is not None and manifest["schema"] < KEYS_RENAMED:
        request = manifest["request"]
        manifest["request"] = {**request, "overrides": current_words(request["overrides"])}
    return RunRecord(folder, manifest, trial)


def read_trials(sweep: Path) -> Iterator[RunRecord]:
    """Yield the trials of a sweep by number; skip links and those that cannot be read."""
    folders = (folder for folder in sweep.iterdir() if folder.name.isdecimal() and not folder.is_symlink())
    numbered = sorted((int(folder.name), folder) for folder in folders)
    for _, folder in numbered:
        try:
            yield read_record(folder)
        except (OSError, ValueError):
            continue
