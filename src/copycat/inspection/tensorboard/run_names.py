"""Names of runs in TensorBoard: experiment and overrides, instead of the folders' times and numbers."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Set
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from copycat.config.dotted_keys import short_names
from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.records.reader import check_files, find_runs, read_checked_manifest
from copycat.records.trial_file import Trial, read_trial
from copycat.tables.render import value_cell
from copycat.tables.run_row import parse_override

EVENTS = "tensorboard"
MAX_LENGTH = 100
"""Characters of a name, at most."""
IGNORED_KEYS = ("experiment", "output_dir", "sweep.folder", "data.root", "data.file", "hydra")
"""Keys that do not help to tell runs apart."""


class RunLinks:
    """Link the event files of runs under unique names in an empty folder.

    TensorBoard calls a run by its path below the folder that it serves, and follows links. Where there are no symbolic
    links, as on Windows without its developer mode, `update` copies the files: of those with hard links, other
    commands would say that they are another folder's.
    """

    def __init__(self, root: Path, names: Path) -> None:
        """Set the folders; `update` makes the links."""
        self.root, self.names = root.absolute(), names
        self._known: dict[Path, str] = {}
        self._refused: set[Path] = set()
        self._mirrored: dict[Path, Path] = {}
        """Folders of event files that could not be linked, and the folders that mirror them."""
        self._occurrences: Counter[tuple[str, str]] = Counter()
        """Number of linked runs that ask for a key and value."""

    @property
    def count(self) -> int:
        """Return the number of linked runs."""
        return len(self._known)

    def varied(self) -> Set[str]:
        """Return the keys that some linked runs override with one value, and others with another or not at all.

        Of a single run, return all keys that it overrides.
        """
        count = len(self._known)
        return {key for (key, _), times in dict(self._occurrences).items() if times < count or count == 1}

    def update(self) -> None:
        """Link new runs; report those whose event files lead out of their folder on standard error, and skip them."""
        for events, mirror in self._mirrored.items():
            _mirror_files(events, mirror)
        for run in find_runs(self.root):
            events = run / EVENTS
            if run in self._known or run in self._refused or events.is_symlink() or not events.is_dir():
                continue
            try:
                check_files(events)
            except UserError as error:
                print_line(f"copycat: left out: {error}", error=True)
                self._refused.add(run)
                continue
            request, trial = _request(run), _trial(run)
            name = self._free(_make_name(run, request, trial, root=self.root))
            self._link(events, self.names / name)
            self._known[run] = name
            self._occurrences.update((key, repr(value)) for key, value in _overridden_values(request, trial).items())

    def _link(self, events: Path, place: Path) -> None:
        try:
            os.symlink(events, place, target_is_directory=True)
        except OSError:
            self._mirrored[events] = place
            _mirror_files(events, place)

    def _free(self, name: str) -> str:
        used = set(self._known.values())
        if name not in used:
            return name
        return next(f"{name} ({number})" for number in range(2, len(used) + 3) if f"{name} ({number})" not in used)


def _mirror_files(folder: Path, mirror: Path) -> None:
    """Copy what event files grew by since they were last copied, and remove copies of removed files."""
    files = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()}
    for name, file in files.items():
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, (mirror / name).open("ab") as copy:
            source.seek(copy.tell())
            shutil.copyfileobj(source, copy)
    for place in mirror.rglob("*"):
        if place.is_file() and place.relative_to(mirror) not in files:
            with suppress(OSError):  # TensorBoard reads it
                place.unlink()


def run_name(run: Path, *, root: Path, manifest: Mapping[str, Any] | None) -> str:
    """Name a run, as `lecture lr=0.01`; a trial below its own sweep by its number and its values, as `3 lr=0.01`."""
    return _make_name(run, manifest and manifest["request"], _trial(run), root=root)


def _make_name(run: Path, request: Mapping[str, Any] | None, trial: Trial | None, *, root: Path) -> str:
    if request is None:
        return _safe_file_name(run.name)
    if trial is None:
        return _safe_file_name(" ".join([request["experiment"], *_assignments(_values(request))]))
    number, values = str(trial.number).zfill(_number_width(run.parent)), _assignments(trial.values)
    if root == run.parent:
        return _safe_file_name(" ".join([number, *values]))
    # sweeps in one folder are told apart by their start
    return _safe_file_name(" ".join([request["experiment"], run.parent.name[:8], "trial", number, *values]))


@cache
def _number_width(sweep: Path) -> int:
    """Return the digits of a trial's number: TensorBoard's HParams sorts names by character, 10 before 2."""
    return max((len(trial.name) for trial in sweep.iterdir() if trial.name.isdigit()), default=1)


def _overridden_values(request: Mapping[str, Any] | None, trial: Trial | None) -> Mapping[str, Any]:
    """Return the values that a run overrides, by key; of a trial, those of its sweep too."""
    return {**(_values(request) if request else {}), **(trial.values if trial else {})}


def _request(run: Path) -> Mapping[str, Any] | None:
    try:
        request: Mapping[str, Any] = read_checked_manifest(run)["request"]
    except (OSError, ValueError):
        return None
    return request


def _trial(run: Path) -> Trial | None:
    try:
        return read_trial(run)
    except (OSError, ValueError):
        return None


def _values(request: Mapping[str, Any]) -> dict[str, Any]:
    words = (word for word in request["overrides"] if "=" in word)
    values = dict(parse_override(word) for word in words)
    return {key: value for key, value in values.items() if not key.startswith(IGNORED_KEYS)}


def _assignments(values: Mapping[str, Any]) -> list[str]:
    titles = short_names(values)
    return [f"{titles[key]}={value_cell(key)(values)}" for key in values]


def _safe_file_name(name: str) -> str:
    """Return a name that can be a folder's."""
    plain = re.sub(r"[^\w .,=+@()\[\]-]", "_", name).strip(" .") or "run"
    return plain if len(plain) <= MAX_LENGTH else f"{plain[: MAX_LENGTH - 1]}…"
