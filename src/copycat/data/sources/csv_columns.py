"""Find the columns of a table of images: paths, labels, parts, exclusions and groups."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of
from copycat.data.sources.csv_table import CsvTable
from copycat.data.sources.file_names import escape_name
from copycat.data.sources.groups import compile_pattern

USUAL_NAMES: Mapping[str, Sequence[str]] = {
    "path_column": ("path", "file", "filename", "filepath", "imagepath", "imagefile", "image", "imagename", "img"),
    "label_column": ("label", "class", "classname", "category", "target", "species", "breed", "diagnosis"),
    "split_column": ("split", "part", "subset", "partition"),
    "exclude_column": ("exclude", "excluded"),
}
"""Names of columns that are found without being stated, in lower case, without spaces, `-` and `_`."""
REQUIRED: Mapping[str, str] = {"path_column": "paths", "label_column": "class names"}
"""Keys of columns that a table must have, with their content."""
IGNORE = "none"
"""Value of a key that takes a column: use none, not even one that has a usual name."""


def find_columns(table: CsvTable, node: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the column for each key of USUAL_NAMES; None where there is none.

    Args:
        table: the table, of which the header suffices.
        node: configuration, with names of columns, or null where they are to be found by their usual names.

    Raises:
        UserError: where a stated column does not exist, or a required one is not found.
    """
    stated = node.get("label_columns")
    columns = None if stated is None else [str(name) for name in stated]
    names = [name for name in table.columns if name not in (columns or ())]
    found = {key: find_column(names, key, node.get(key), usual) for key, usual in USUAL_NAMES.items()}
    check_label_keys(columns, node.get("label_separator"), node.get("classes"), names=list(table.columns))
    for key, content in REQUIRED.items():
        if found[key] is None and not (key == "label_column" and columns):
            raise UserError(
                f"data.{key}: expected the column of the {content}; {escape_name(str(table.path))} has "
                f"{one_of(table.columns)}. Type data.{key}=NAME."
            )
    return found


def find_column(columns: Iterable[str], key: str, stated: str | None, usual: Sequence[str]) -> str | None:
    """Return the column that a key states, or where that is None the first with a usual name, in any case.

    Raises:
        UserError: where the stated column does not exist.
    """
    names = list(columns)
    if stated is None:
        by_word = {_normalize(name): name for name in reversed(names)}
        words = map(_normalize, usual)
        return next((by_word[word] for word in words if word in by_word), None)
    if stated not in names and stated != IGNORE:
        expected = f"one of {one_of(names)}" if names else "a column of words or whole numbers"
        raise UserError(
            f"data.{key}: expected {expected}; got {stated!r}." + did_you_mean(stated, names, before=f"data.{key}=")
        )
    return stated if stated in names else None


def check_label_keys(
    columns: Sequence[str] | None, separator: str | None, classes: Sequence[str | int] | None, *, names: Sequence[str]
) -> None:
    """Check the keys of labels against each other, and against the names of the table's columns.

    Raises:
        UserError: where two exclude each other, or a column does not exist.
    """
    if columns is None:
        return
    for key, value in (("label_separator", separator), ("classes", classes)):
        if value is not None:
            raise UserError(
                f"data.{key}: expected null beside data.label_columns, which name the classes; got {value}."
            )
    for name in columns:
        if name not in names:
            raise UserError(
                f"data.label_columns: expected some of {one_of(names)}; got {name!r}.{did_you_mean(name, names)}"
            )


def check_groups_key(groups: str | None, columns: Iterable[str]) -> None:
    """Check that `data.groups` is a column or a pattern.

    Raises:
        UserError: where it is neither.
    """
    names = list(columns)
    if groups is None or groups in names:
        return
    if "(" in groups:
        compile_pattern(groups)
        return
    raise UserError(
        f"data.groups: expected one of {one_of(names)}, or a pattern with a group in parentheses; got {groups!r}."
        + did_you_mean(groups, names, before="data.groups=")
    )


def _normalize(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
