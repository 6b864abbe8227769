"""Read the labels of a table of images: one class a row, or several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copycat.config.suggestions import did_you_mean, one_of
from copycat.data.labels import NO_CLASS, SEPARATOR
from copycat.data.sources.csv_table import CsvTable
from copycat.data.sources.label_order import sort_classes

IS_MARKED: Mapping[str, bool] = {
    **dict.fromkeys(("1", "true", "yes", "y", "x"), True),
    **dict.fromkeys(("", "0", "false", "no", "n"), False),
}
"""Meaning of a cell in the column of a class, or of a mark, in lower case."""


@dataclass(frozen=True, kw_only=True)
class CsvLabels:
    """Hold the labels of the included rows."""

    classes: Sequence[str]
    texts: Mapping[int, str]
    """Label of each row, as messages have it."""
    labels: Mapping[int, int] | Mapping[int, list[int]]
    """Index of the class of each row; of several classes a row, 1 for each class that it has."""


def read_labels(
    table: CsvTable,
    kept: Sequence[int],
    *,
    column: str | None,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    classes: Sequence[str | int] | None = None,
    min_classes: int = 2,
) -> CsvLabels:
    """Read the labels of rows.

    Args:
        table: the table.
        kept: rows to read.
        column: column of the class names.
        columns: one column for each class instead, of 1 and 0.
        separator: characters between the classes of a row in `column`; None: it has one class.
        classes: names of the classes in the order of their labels; None: sorted, or those of `columns`.
        min_classes: least number of classes that must have a row.

    Raises:
        UserError: for a cell that is no label, and where there are too few classes.
    """
    if columns is not None:
        rows = {row: [name for name in columns if _is_marked(table, row, name)] for row in kept}
        return _of_several(table, rows, list(columns), min_classes)
    assert column is not None
    cells = table.columns[column]
    if separator is not None:
        rows = {row: [part.strip() for part in cells[row].split(separator) if part.strip()] for row in kept}
        names = _find_classes(table, {row: tuple(found) for row, found in rows.items()}, classes)
        return _of_several(table, rows, names, min_classes)
    texts = {row: cells[row] for row in kept}
    names = _find_classes(table, {row: (text,) for row, text in texts.items() if text}, classes)
    _check_count(table, set(texts.values()), min_classes)
    place_of = {name: place for place, name in enumerate(names)}
    labels = {row: place_of.get(text, 0) for row, text in texts.items()}  # `check_rows` refuses an empty one
    return CsvLabels(classes=names, texts=texts, labels=labels)


def _of_several(
    table: CsvTable, rows: Mapping[int, Sequence[str]], classes: Sequence[str], min_classes: int
) -> CsvLabels:
    if unusable := next((name for name in classes if SEPARATOR in name or name == NO_CLASS), None):
        raise table.error(f"expected classes without {SEPARATOR!r}, and none called {NO_CLASS}; got {unusable!r}.")
    _check_count(table, {name for found in rows.values() for name in found}, min_classes)
    return CsvLabels(
        classes=classes,
        texts={row: SEPARATOR.join(found) or NO_CLASS for row, found in rows.items()},
        labels={row: [int(name in found) for name in classes] for row, found in rows.items()},
    )


def _is_marked(table: CsvTable, row: int, column: str) -> bool:
    cell = table.columns[column][row]
    if (marked := IS_MARKED.get(cell.lower())) is None:
        raise table.error(f"expected 1, 0 or nothing in {column}; got {cell!r}.", line=table.lines[row])
    return marked


def _find_classes(
    table: CsvTable, rows: Mapping[int, Sequence[str]], stated: Sequence[str | int] | None
) -> Sequence[str]:
    """Return the stated classes, or those of the rows, sorted."""
    if stated is None:
        return sort_classes(name for found in rows.values() for name in found)
    classes = [str(name) for name in stated]
    for row, found in rows.items():
        for name in found:
            if name not in classes:
                text = f"expected one of data.classes, {one_of(classes)}; got {name!r}.{did_you_mean(name, classes)}"
                raise table.error(text, line=table.lines[row])
    return classes


def _check_count(table: CsvTable, found: set[str], least: int) -> None:
    if len(found) < least:
        raise table.error(f"expected images of two classes at least; got {one_of(sorted(found)) or 'none'}.")
