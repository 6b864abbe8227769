"""Hold rows of named values, as lists or as a pandas DataFrame."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, overload

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean
from copycat.tables.statistics import format_number

MAX_ROWS = 60
"""Maximum number of rows that a notebook shows."""


class Table(Sequence[Mapping[str, Any]]):
    """Hold rows of named values: `table[0]` is a row, `table["val/loss"]` a column.

    A row lacks the names that it has no value for; a column has None there.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hold these rows."""
        self._rows = list(rows)

    @property
    def columns(self) -> list[str]:
        """Return the names of all columns, in the order in which they first appear."""
        return list(dict.fromkeys(name for row in self._rows for name in row))

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "Table": ...
    @overload
    def __getitem__(self, index: str) -> list[Any]: ...
    def __getitem__(self, index: int | slice | str) -> "Mapping[str, Any] | Table | list[Any]":
        """Return a row, a part of the table, or a column.

        Raises:
            KeyError: where no row has such a name.
        """
        if isinstance(index, str):
            if index not in self.columns:
                raise KeyError(f"{index}: no such column." + did_you_mean(index, self.columns))
            return [row.get(index) for row in self._rows]
        return Table(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over the rows."""
        return iter(self._rows)

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises:
            UserError: where pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError("to_pandas: expected pandas; it is not installed. Type pip install pandas.") from error
        return pandas.DataFrame(self._rows, columns=self.columns)

    def __repr__(self) -> str:
        """Return the size and the columns."""
        return f"<Table of {len(self)} rows: {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        """Return an HTML table of the first rows, for notebooks."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_text(row.get(name)))}</td>' for name in self.columns)}</tr>"
            for row in self._rows[:MAX_ROWS]
        )
        more = f"<p>{len(self)} rows</p>" if len(self) > MAX_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return format_number(value) if isinstance(value, float) else str(value)
