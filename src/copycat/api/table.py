"""Hold rows of named values, as lists or as a pandas DataFrame."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any, Literal, overload

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.rule_builders import integer
from copycat.config.suggestions import did_you_mean, one_of, pluralize
from copycat.tables.statistics import format_number

MAX_ROWS = 60
"""Maximum number of rows that a notebook shows."""


class Table(Sequence[Mapping[str, Any]]):
    """Hold rows of named values: `table[0]` is a row, `table["val/loss"]` a column.

    A row lacks the names that it has no value for; a column has None there.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], *, objectives: Collection[str] = ()) -> None:
        """Hold these rows; `objectives` are the metrics of their sweep."""
        self._rows, self._objectives = list(rows), objectives

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
        return Table(self._rows[index], objectives=self._objectives) if isinstance(index, slice) else self._rows[index]

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

    def to_latex(self, **request: Any) -> str:
        """Return the table of completed runs for a paper, as `copycat runs --latex` prints it.

        Args:
            request: `rows`, `columns` and `metrics`, lists of names, and `digits`, as the command's options.

        Raises:
            UserError: where no run is completed, or a name is unknown.
        """
        return self._render("latex", request)

    def to_markdown(self, **request: Any) -> str:
        """Return the table of completed runs for a paper, as `copycat runs --markdown` prints it.

        Args:
            request: as for `to_latex`.

        Raises:
            UserError: as for `to_latex`.
        """
        return self._render("markdown", request)

    def _render(self, form: Literal["latex", "markdown"], request: Mapping[str, Any]) -> str:
        from copycat.sweeps.show import render_paper_table
        from copycat.tables.paper_table import PaperRequest

        names = [field.name for field in fields(PaperRequest) if field.name != "in_python"]
        if wrong := next((name for name in request if name not in names), None):
            raise UserError(f"{wrong}: expected one of {one_of(names)}; got {wrong!r}.{did_you_mean(wrong, names)}")
        for name, value in request.items():
            if name == "digits":
                if not (rule := integer(0)).allows(value):
                    raise UserError(f"digits: expected {rule.words}; got {value!r}.")
            elif isinstance(value, str) or not isinstance(value, Sequence):
                raise UserError(f"{name}: expected a list of names; got {value!r}. Type {name}=[{value!r}].")
        if not all("folder" in row for row in self._rows):
            raise UserError(f"to_{form}: expected a table of runs, as of read_runs; got one without folders.")
        paper = PaperRequest(**request, in_python=True)
        lines = render_paper_table(self._rows, paper, form=form, objectives=self._objectives)
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        """Return the size and the columns."""
        return f"<Table of {pluralize(len(self), 'row')}: {', '.join(self.columns)}>"

    def _repr_html_(self) -> str:
        """Return an HTML table of the first rows, for notebooks."""
        head = "".join(f"<th>{escape(printable(name))}</th>" for name in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_text(row.get(name)))}</td>' for name in self.columns)}</tr>"
            for row in self._rows[:MAX_ROWS]
        )
        more = f"<p>{len(self)} rows</p>" if len(self) > MAX_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return format_number(value) if isinstance(value, float) else printable(str(value))
