"""Read and write sweep.json: the request and the status of a sweep, beside the folders of its trials."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.renamed_keys import KEYS_OF_KEYS, current_key, current_keys, current_text, current_words
from copycat.config.suggestions import first_line
from copycat.records import trial_file
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.lock import current_status
from copycat.records.reader import check_run_folder, find_runs
from copycat.records.run_folder import RACE_FOLDER, SWEEP
from copycat.records.safe_parsers import check_schema_number, read_file, read_json
from copycat.records.signature import is_signed, sign
from copycat.tables.run_row import REPEATS
from copycat.tables.statistics import Direction

FILE = SWEEP
SCHEMA = 2
TIME_KEY = "sweep.max_time"
KEYS_RENAMED = 2
"""First schema whose configuration keys have their present names."""
MAX_BYTES = 2**23
"""Maximum size of the file in bytes."""
LOCK_GRACE_SECONDS = 10.0
"""Seconds within which a starting sweep locks its folder; later it counts as killed."""
IMAGE_KEYS = (
    *("data", "data.root", "data.file", "data.name", "data.subset", "data.groups"),
    *("data.image_size", "data.fit", "data.split", "data.folds", "data.holdout"),
)
"""Keys that decide which images validate: hold-out and folds follow from the decoded pixels too."""
_SIGNED_AS = b"sweep"
"""Signed in place of a configuration, so that no signature of a run is valid for a sweep."""


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """Hold the record of a sweep."""

    id: str
    """Random id, made at the start; marks the sweep's trials in a study that several sweeps share."""
    status: str
    """`running`, `completed`, `failed` (some trial did), `stopped` (too many did, or by its time) or `interrupted`."""
    error: str | None
    started: str
    ended: str | None
    experiment: str
    words: list[str]
    """As typed after `copycat train -m`."""
    output_dir: str
    sweeper: str
    """`grid`, `optuna` or `best`, or `race` of the one that a sweep holds between its best configurations."""
    trials: int
    """Number of trials requested, with recorded ones that an earlier start requested."""
    objectives: dict[str, Direction]
    """Metrics that rank the trials, the most important first, with their directions."""
    varies: list[str]
    """Keys whose values differ between trials."""
    config_keys: dict[str, str]
    """A short hash of each value of the configuration that all trials share, by its dotted key."""
    space: dict[str, str]
    """Values of each varying key in Hydra's grammar, and the sweeper's settings."""
    study: str | None = None
    """Name of a search's study, which is kept when the folder is moved or renamed."""
    seconds: float = 0.0
    """Seconds that the sweep took, in all its starts, for `sweep.max_time`."""
    race: dict[str, Any] | None = None
    """The plan of a race."""
    search: dict[str, Any] | None = None
    """The plan of a search for the best model."""
    directory: str | None = None
    """Working directory that it was started in, from which relative paths among its words lead."""

    @property
    def is_out_of_time(self) -> bool:
        """Return whether it stopped because the time of `sweep.max_time` was over."""
        return self.status == "stopped" and (self.error or "").startswith(TIME_KEY)

    @property
    def repeats(self) -> list[str]:
        """Return the varying keys whose values repeat a configuration, and do not make another one."""
        return [name for name in self.varies if name in REPEATS]

    @property
    def hyper_parameters(self) -> list[str]:
        """Return the varying keys whose values make a configuration."""
        return [name for name in self.varies if name not in REPEATS]

    @property
    def varying_images(self) -> list[str]:
        """Return the varying keys by which trials run on other images, so that no race can compare them."""
        return [name for name in self.varies if name in IMAGE_KEYS]

    @property
    def is_raceable(self) -> bool:
        """Return whether `copycat prove` takes it: its first objective is a metric, of the same images."""
        return "/" in next(iter(self.objectives)) and not self.varying_images


def check_images(sweep: SweepFile) -> None:
    """Raise a UserError where the trials of a sweep run on different images, so that no race can compare them."""
    if sweep.varying_images:
        raise UserError(f"sweep.prove: expected trials on the same images; {sweep.varying_images[0]} varies.")


def write_sweep(folder: Path, sweep: SweepFile) -> None:
    """Write sweep.json with a signature, since a resume runs the overrides in it."""
    content: dict[str, Any] = {"schema": SCHEMA, **asdict(sweep)}
    try:
        content["signature"] = sign(_SIGNED_AS, content)
    except OSError:
        content["signature"] = None
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / FILE, (text + "\n").encode())


def check_sweep(folder: Path) -> None:
    """Raise a UserError unless a folder holds a sweep."""
    if not (folder / FILE).exists():
        raise UserError(f"{folder}: expected the folder of a sweep; it has no {FILE}. Make a sweep: copycat train -m …")


def has_race(folder: Path) -> bool:
    """Return whether a sweep held a race."""
    return (folder / RACE_FOLDER / FILE).is_file()


def check_reported(folders: Sequence[Path]) -> None:
    """Raise a UserError for the first folder that holds neither a run nor a sweep, without importing anything heavy."""
    for folder in folders:
        if (folder / FILE).is_file() or (folder / trial_file.FILE).is_file() or any(find_runs(folder)):
            continue
        check_run_folder(folder)


def read_sweep(folder: Path) -> SweepFile:
    """Read sweep.json; the status is `killed` if it says `running` and no process runs the sweep.

    Raises:
        UserError: if the file is missing, damaged, or of another schema.
    """
    sweep = SweepFile(**_read(folder)[0])
    if abs(time.time() - (folder / FILE).stat().st_mtime) < LOCK_GRACE_SECONDS:
        return sweep
    return replace(sweep, status=current_status(sweep.status, folder))


def read_own_sweep(folder: Path) -> SweepFile:
    """Read sweep.json if the user made it.

    Raises:
        UserError: if the file cannot be read, or its signature is not the user's.
    """
    fields, content = _read(folder)
    if not is_signed(_SIGNED_AS, content):
        raise UserError(
            f"{folder / FILE}: expected a sweep that you made; its signature is not yours. Type its overrides yourself:"
            " copycat train -m …"
        )
    return SweepFile(**fields)


@contextmanager
def started_directory(sweep: SweepFile, folder: Path) -> Iterator[Path]:
    """Work in the directory that a sweep was started in, if it is still there, and yield the sweep's folder.

    Its words are composed again, and `data.root=photos` is a folder there.
    """
    there = sweep.directory
    if there is None or not os.path.isdir(there) or os.path.samefile(there, os.curdir):
        yield folder
        return
    folder = folder.absolute()
    with chdir(there):
        yield folder


def _read(folder: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the fields of a SweepFile, and the content of sweep.json as signed."""
    path = folder / FILE
    try:
        content = read_json(read_file(path, max_bytes=MAX_BYTES))
        check_schema_number(content, range(1, SCHEMA + 1))
        fields = {name: value for name, value in content.items() if name not in ("schema", "seal", "signature")}
        parse_dataclass(SweepFile, fields)
        if content["schema"] < KEYS_RENAMED:
            fields |= _with_current_keys(fields)
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UserError(f"{path}: expected the record of a sweep; {problem}.") from error
    return fields, content


def _with_current_keys(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that name configuration keys, with the present names."""
    space = {key: current_text(text) if key in KEYS_OF_KEYS else text for key, text in fields["space"].items()}
    return {
        "words": current_words(fields["words"]),
        "varies": [*map(current_key, fields["varies"])],
        "config_keys": current_keys(fields["config_keys"]),
        "space": current_keys(space),
    }
