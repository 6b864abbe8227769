"""Find runs whose images are not those of the runs that they are averaged and compared with."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from copycat.config.suggestions import one_of
from copycat.records.image_index import read_divided_rows
from copycat.records.reader import read_checked_manifest


def describe_data_changes(runs: Iterable[tuple[str, Path]], *, noun: str = "trial") -> str:
    """Return a sentence on the runs, by name, whose images are not those of the first; empty where there are none.

    The images count as the same however they are divided into training and validation, as seeds and folds do.
    """
    first: tuple[str, int, Any, set[bytes]] | None = None
    by_fingerprint: dict[str, set[bytes]] = {}
    changed: list[str] = []
    for name, folder in runs:
        with suppress(OSError, ValueError):  # run.json may have been removed
            manifest = read_checked_manifest(folder)
            key, data = repr(manifest["provenance"]["data"]), manifest["data"]
            if key not in by_fingerprint:
                by_fingerprint[key] = read_divided_rows(folder)
            count, rows = sum(data["images"].get(part, 0) for part in ("train", "val")), by_fingerprint[key]
            first = first or (name, count, data.get("image_shape"), rows)
            is_comparable = rows and first[3] and data.get("image_shape") == first[2]
            if count != first[1] or (is_comparable and rows != first[3]):
                changed.append(name)
    if first is None or not changed:
        return ""
    which = f"{noun} {changed[0]} has" if len(changed) == 1 else f"{noun}s {one_of(changed, most=4)} have"
    return (
        f"the data changed: {which} other images than {noun} {first[0]}; means and ranks mix results on different data"
    )
