"""Read a CSV file with a header into columns of text, with the line of each row for messages."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line, one_of
from copycat.data.sources.file_names import escape_name

DELIMITERS: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
"""Characters between cells, by the words of `data.delimiter`."""


@dataclass(frozen=True)
class CsvTable:
    """Hold the columns of a CSV file."""

    path: Path
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]
    """Line of the file in which each row ends."""

    def error(self, text: str, *, line: int | None = None) -> UserError:
        """Return an error that names the file, and the line where one is given."""
        where = escape_name(str(self.path)) + ("" if line is None else f", line {line}")
        return UserError(f"data.file: {where}: {text}")


def read_table(path: Path, *, delimiter: str | None = None, header_only: bool = False) -> CsvTable:
    """Read a CSV file of UTF-8 with a header; blank lines are left out.

    Args:
        path: the file.
        delimiter: a word of DELIMITERS; None: the one that occurs most often in the header.
        header_only: read the names of the columns alone.

    Raises:
        UserError: where the file cannot be read, or is no table.
    """
    table = CsvTable(path, {}, [])
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=_find_delimiter(head, delimiter), strict=True)
            names = _read_header(table, next(rows, []))
            if header_only:
                return CsvTable(path, {name: [] for name in names}, [])
            return _read_rows(table, names, ((rows.line_num, row) for row in rows))
    except OSError as error:
        raise table.error(f"expected a table that can be read; {(error.strerror or str(error)).lower()}.") from error
    except UnicodeDecodeError as error:
        raise table.error("expected text in UTF-8; got other bytes. Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise table.error(f"expected a table; {first_line(error)}.", line=rows.line_num) from error


def _read_header(table: CsvTable, header: Sequence[str]) -> Sequence[str]:
    names = [name.strip() for name in header]
    if not any(names):
        raise table.error("expected a first line with the names of the columns; got none.")
    if names[0].startswith("sep="):
        raise table.error("expected the names of the columns; got 'sep=', for Excel alone. Remove the line.", line=1)
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise table.error(f"expected columns of different names; got {one_of(map(repr, twice))} twice.", line=1)
    return names


def _read_rows(table: CsvTable, names: Sequence[str], rows: Iterable[tuple[int, list[str]]]) -> CsvTable:
    cells: list[list[str]] = [[] for _ in names]
    lines = []
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            raise table.error(f"expected {len(names)} cells, as in the first line; got {len(row)}.", line=line)
        lines.append(line)
        for column, cell in zip(cells, row, strict=True):
            column.append(cell.strip())
    if not lines:
        raise table.error("expected rows below the first line; got none.")
    return CsvTable(table.path, dict(zip(names, cells, strict=True)), lines)


def _find_delimiter(head: str, word: str | None) -> str:
    if word is not None:
        return DELIMITERS[word]
    return max(DELIMITERS.values(), key=head.count)
