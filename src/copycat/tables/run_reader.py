"""One row a run, read from its folder: what tables, plots and summaries are made of. Imports nothing heavy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.renamed_keys import current_words
from copycat.records import trial_file
from copycat.records.lock import RUNNING, current_status
from copycat.records.reader import read_checked_manifest
from copycat.records.run_folder import KEYS_RENAMED


@dataclass(frozen=True)
class Row:
    """A run, or a trial of a sweep; a trial that failed before it came to a run has no manifest."""

    folder: Path
    manifest: Mapping[str, Any] | None
    trial: trial_file.Trial | None
    """None where it is no trial."""

    @property
    def status(self) -> str:
        """As the folder says, but `killed` for what says that it runs and does not."""
        if self.trial is not None and self.trial.status != RUNNING:
            return self.trial.status
        said = str(self.manifest["status"]) if self.manifest else RUNNING
        # a trial may be between two processes while its sweep runs
        return current_status(said, self.folder, *([self.folder.parent] if self.trial else []))

    @property
    def overrides(self) -> Sequence[str]:
        return self.trial.overrides if self.trial else self.manifest["request"]["overrides"] if self.manifest else []

    @property
    def final(self) -> Mapping[str, float]:
        """Metrics of the final weights."""
        found: Mapping[str, float] = self.manifest["results"].get("final", {}) if self.manifest else {}
        return found

    @property
    def best(self) -> Mapping[str, float]:
        """Metrics of the best epoch."""
        found: Mapping[str, float] = (
            self.manifest["results"].get("best", {}).get("metrics", {}) if self.manifest else {}
        )
        return found


def read_row(folder: Path) -> Row:
    """What a folder says.

    Raises:
        ValueError: where run.json or trial.json is none.
        OSError: where neither can be read.
    """
    trial = None
    if (folder / trial_file.FILE).exists():
        trial = trial_file.read_trial(folder)
    try:
        manifest = read_checked_manifest(folder)
    except FileNotFoundError:
        if trial is None:
            raise
        manifest = None
    if manifest is not None and manifest["schema"] < KEYS_RENAMED:
        asked = manifest["request"]
        manifest["request"] = {**asked, "overrides": current_words(asked["overrides"])}
    return Row(folder, manifest, trial)


def read_trials(sweep: Path) -> Iterator[Row]:
    """The trials of a sweep's folder, by number; those that cannot be read, and links, are left out."""
    folders = (folder for folder in sweep.iterdir() if folder.name.isdecimal() and not folder.is_symlink())
    numbered = sorted((int(folder.name), folder) for folder in folders)
    for _, folder in numbered:
        try:
            yield read_row(folder)
        except (OSError, ValueError):
            continue
