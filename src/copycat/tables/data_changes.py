"""Find runs whose images are not those of the runs that they are averaged and compared with."""

from collections.abc import Iterable
from contextlib import suppress
from math import ceil
from pathlib import Path

from copycat.config.suggestions import one_of
from copycat.records.run_folder import IMAGES
from copycat.records.safe_parsers import read_file

MAX_READ = 200
"""Files that are read: tables of 10,000 runs take a fraction of a second."""
_Rows = set[tuple[bytes, ...]]
"""Label, digest and the rest of each row of images.csv."""


def describe_data_changes(runs: Iterable[tuple[str, Path]], *, noun: str = "trial") -> str:
    """Return a sentence on the runs, by name, whose images are not those of the first; empty where there are none.

    The images count as the same however they are divided into training and validation, as seeds and folds do, and
    where all have another size. Of more than MAX_READ runs, evenly spaced ones are read. Runs without images.csv, as of
    more than 100,000 images, are left out.
    """
    every = [*runs]
    parsed: dict[bytes, _Rows] = {}
    first: tuple[str, _Rows] | None = None
    changed: list[str] = []
    for name, folder in every[:: ceil(len(every) / MAX_READ) or 1]:
        with suppress(OSError, ValueError):
            content = read_file(folder / IMAGES)
            rows = parsed.get(content) or parsed.setdefault(content, _parse(content))
            first = first or (name, rows)
            if rows != first[1] and not (rows.isdisjoint(first[1]) and _names(rows) == _names(first[1])):
                changed.append(name)
    if first is None or not changed:
        return ""
    which = f"{noun} {changed[0]} has" if len(changed) == 1 else f"{noun}s {one_of(changed, most=4)} have"
    return (
        f"the data changed: {which} other images than {noun} {first[0]}; means and ranks mix results on different data"
    )


def _parse(content: bytes) -> _Rows:
    """Return the rows of training and validation images, without their part."""
    lines = content.splitlines()
    return {tuple(line.split(b",", 3)[1:]) for line in lines if line.startswith((b"train,", b"val,"))}


def _names(rows: _Rows) -> set[tuple[bytes, ...]]:
    return {(label, *rest) for label, _, *rest in rows}
