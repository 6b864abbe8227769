"""Group runs that differ in their seed or fold alone, by the keys of their recorded configurations."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copycat.config.added_keys import ADDED_DEFAULTS
from copycat.config.errors import UserError
from copycat.config.moved_names import with_current_names
from copycat.config.renamed_keys import with_current_keys
from copycat.config.rule_builders import is_number
from copycat.config.suggestions import one_of
from copycat.records.reader import parse_config, read_checked_manifest
from copycat.records.requested_values import with_requested_values
from copycat.tables.run_row import REPEATS, SPLIT_KEYS, RunRow

UNRELATED = ("output_dir", "print_losses", "logger.", "callbacks.progress.", "trainer.steps_per_execution")
"""Keys, and beginnings of keys, that do not change what a run computes."""
DIGEST_LENGTH = 12
"""Number of characters of a digest in a table."""


@dataclass(frozen=True)
class RecordedRun:
    """Hold a completed run with its configuration."""

    row: RunRow
    config: Mapping[str, Any]
    """Configuration by dotted key."""
    digest: str
    """Beginning of the digest of its weights: equal for equal bits."""
    overlap: float = 0.0
    """Number of its validation images by that of its training images."""
    separate: Set[str] = frozenset()
    """Keys that any run's words name: below an option, as optimizer.lr below optimizer, they do not count to it."""

    @property
    def repeat(self) -> tuple[Any, ...]:
        """Return the seed and the fold."""
        return tuple(self.config.get(key) for key in REPEATS)

    @property
    def split(self) -> tuple[Any, ...]:
        """Return what decides which images validate."""
        return tuple(self.config.get(key) for key in SPLIT_KEYS)

    def label(self, key: str) -> Any:
        """Return the value of a key: the option as typed, as `deep` of `model`, else as configured; – for none."""
        if key in self.config and self.config[key] != {}:  # an empty option, as callbacks=none, is shown as typed
            return self.config[key]
        if key in self.row:
            return self.row[key]
        target = self.config.get(f"{key}._target_")
        return ADDED_DEFAULTS.get(key, "–") if target is None else str(target).rpartition(".")[2]

    def identity(self, key: str) -> str:
        """Return a text that is equal for equal values; of an option, all below it but what is named separately."""
        if not self.configures(key):
            return repr(self.label(key))
        if key in self.config:
            return repr(self.config[key])
        below = {name: value for name, value in self.config.items() if name.startswith(f"{key}.")}
        return repr([(name, value) for name, value in below.items() if not self._is_named_apart(name, key)])

    def _is_named_apart(self, name: str, option: str) -> bool:
        """Return whether words name a key below an option, or what it refers to, as activation for model.activation."""
        origin = name.removeprefix(f"{option}.")
        is_reference = origin.partition(".")[0] in self.separate and self.config.get(origin) == self.config[name]
        return name in self.separate or is_reference

    def configures(self, key: str) -> bool:
        """Return whether a key, or keys below it, are in the configuration."""
        return key in self.config or any(name.startswith(f"{key}.") for name in self.config)


@dataclass
class Group:
    """Hold the runs of one configuration."""

    identity: tuple[str, ...]
    """Equal for equal values of the keys that tell configurations apart."""
    labels: Sequence[Any]
    """These values."""
    runs: dict[tuple[Any, ...], RecordedRun] = field(default_factory=dict)
    """Runs by seed and fold."""

    def metric(self, name: str) -> dict[tuple[Any, ...], float]:
        """Return the values of a metric by seed and fold, of the runs that have it."""
        found = {repeat: run.row.get(name) for repeat, run in self.runs.items()}
        return {repeat: value for repeat, value in found.items() if value is not None and is_number(value)}


def read_completed(rows: Sequence[RunRow]) -> Iterator[RecordedRun]:
    """Read the configurations of the rows' completed runs; copies by `copycat rerun` count once, as their originals.

    Raises:
        UserError: where a folder cannot be read.
    """
    separate = frozenset(key for row in rows for key in row)
    for row in rows:
        if row["status"] != "completed" or row.get("copy_of"):
            continue
        folder = Path(row["folder"])
        manifest = read_checked_manifest(folder)
        config = with_current_names(with_current_keys(parse_config(folder)[1]))
        results = manifest["results"]
        digest = results.get("weights_digest") or results.get("history_digest") or ""
        requested = with_requested_values(config, manifest["request"])
        yield RecordedRun(row, requested, str(digest)[:DIGEST_LENGTH], measure_overlap(manifest), separate)


def measure_overlap(manifest: Mapping[str, Any]) -> float:
    """Return the number of validation images of a run by that of its training images; 0 where it has no record."""
    images = manifest["data"]["images"]
    return float(images.get("val", 0) / images["train"]) if images.get("train") else 0.0


def varying_keys(runs: Sequence[RecordedRun]) -> list[str]:
    """Return the keys that tell the configurations apart: typed ones first, then others that these do not determine."""
    typed = dict.fromkeys(key for run in runs for key in run.row if run.configures(key) and _is_related(key))
    chosen = [key for key in typed if _differs(key, runs) and _labels_tell_apart(key, runs)]
    configured = dict.fromkeys(key for run in runs for key in run.config if _is_related(key) and key not in chosen)
    return [*chosen, *(key for key in configured if not _is_determined(key, chosen, runs))]


def _is_related(key: str) -> bool:
    return key not in REPEATS and not any(
        key == name or (name.endswith(".") and f"{key}.".startswith(name)) for name in UNRELATED
    )


def _differs(key: str, runs: Sequence[RecordedRun]) -> bool:
    return len({run.identity(key) for run in runs}) > 1


def _labels_tell_apart(key: str, runs: Sequence[RecordedRun]) -> bool:
    """Return whether different values have different labels, unlike two options of one class that were not typed."""
    return len({repr(run.label(key)) for run in runs}) >= len({run.identity(key) for run in runs})


def _is_determined(key: str, keys: Sequence[str], runs: Sequence[RecordedRun]) -> bool:
    """Return whether runs that agree in some keys agree in this one."""
    seen: dict[tuple[str, ...], str] = {}
    return all(
        seen.setdefault(tuple(run.identity(name) for name in keys), run.identity(key)) == run.identity(key)
        for run in runs
    )


def group_runs(
    runs: Sequence[RecordedRun], rows: Sequence[str], columns: Sequence[str], *, in_python: bool = False
) -> list[Group]:
    """Group runs by the values of the keys of rows and of columns, in the order in which these first occur.

    `in_python` is as in `PaperRequest`.

    Raises:
        UserError: where runs of a group differ in more than seed and fold.
    """
    keys = [*rows, *columns]
    mixed = [key for key in varying_keys(runs) if not _is_determined(key, keys, runs)]
    if mixed:
        missing: list[str] = []
        for key in mixed:
            if not _is_determined(key, [*keys, *missing], runs):
                missing.append(key)
        names = [*rows, *missing]
        typed = f"rows={names}" if in_python else f"--rows {','.join(names)}, or choose by --filter"
        raise UserError(
            f"{'' if in_python else '--'}rows: expected keys that tell the configurations apart;"
            f" got runs that differ in {one_of(mixed)} too. Type {typed}."
        )
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        identity = tuple(run.identity(key) for key in keys)
        group = groups.setdefault(identity, Group(identity, [run.label(key) for key in keys]))
        group.runs[run.repeat] = run  # of two runs of one seed and fold, the newer
    return list(groups.values())
