"""Choose and check the rows of a table of images."""

import os
from collections.abc import Mapping, Sequence

from copycat.config.suggestions import did_you_mean
from copycat.data.sources.csv_labels import IS_MARKED
from copycat.data.sources.csv_table import CsvTable
from copycat.data.sources.file_names import escape_name
from copycat.data.sources.folder_scan import PART_FOLDERS, PART_OF_WORD

IS_EXCLUDED: Mapping[str, bool] = {**IS_MARKED, "exclude": True, "keep": False}
"""Meaning of a cell of the column `exclude`, in lower case."""


def included_rows(table: CsvTable, column: str | None) -> Sequence[int]:
    """Return the rows that are not excluded.

    Raises:
        UserError: for a cell that is neither a mark nor none.
    """
    if column is None:
        return range(len(table.lines))
    kept = []
    for row, cell in enumerate(table.columns[column]):
        if (excluded := IS_EXCLUDED.get(cell.lower())) is None:
            text = f"expected 1, 0 or nothing in {column}; got {cell!r}."
            raise table.error(f"{text} To ignore the column: data.exclude_column=none.", line=table.lines[row])
        if not excluded:
            kept.append(row)
    return kept


def check_rows(table: CsvTable, kept: Sequence[int], paths: Sequence[str], labels: Mapping[int, str]) -> None:
    """Check that each row has a path and a label, and that no file is listed twice.

    Raises:
        UserError: for the first that is not so.
    """
    first: dict[str, int] = {}
    for row in kept:
        line = table.lines[row]
        for noun, cells in (("path", paths), ("label", labels)):
            if not cells[row]:
                raise table.error(f"expected a {noun}; got an empty cell.", line=line)
        if (other := first.setdefault(os.path.normpath(paths[row]), row)) != row:
            as_what = "" if labels[other] == labels[row] else f", there as {labels[other]}, here as {labels[row]}"
            text = f"expected each file once; {escape_name(paths[row])} is in line {table.lines[other]} too{as_what}"
            raise table.error(f"{text}. Remove a line.", line=line)


def rows_by_part(table: CsvTable, kept: Sequence[int], column: str | None) -> dict[str, list[int]]:
    """Return the rows of each part; all are `train` where there is no column of parts.

    Raises:
        UserError: for a cell that names no part, and where there is no row of train.
    """
    if column is None:
        return {"train": list(kept)}
    rows: dict[str, list[int]] = {part: [] for part in PART_FOLDERS}
    for row in kept:
        cell = table.columns[column][row]
        if (part := PART_OF_WORD.get(cell.lower())) is None:
            text = f"expected train, val or test in {column}; got {cell!r}.{did_you_mean(cell, PART_OF_WORD)}"
            raise table.error(f"{text} To ignore the column: data.split_column=none.", line=table.lines[row])
        rows[part].append(row)
    if not rows["train"]:
        raise table.error(f"expected rows of train in {column}; got none.")
    return {part: chosen for part, chosen in rows.items() if chosen}
