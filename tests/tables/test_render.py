"""Tables on standard output."""

import io
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from copycat.tables import render
from copycat.tables.render import Column, Pipe, csv_cell, indent_json, print_table, wide_console, write_csv

HEADS = st.lists(
    st.sampled_from(["run", "final\nval/loss", "loss/日本", "x", "a longer title"]), min_size=1, max_size=4
)
TEXTS = st.text(st.sampled_from("ab 1.–… 日é\t\x1b\u202e"), max_size=6)
ROWS = st.lists(st.lists(TEXTS, min_size=4, max_size=4), max_size=4)


def test_a_csv_without_rows_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv([])
    assert capsys.readouterr().out == ""


@settings(max_examples=40)
@given(
    heads=HEADS,
    rows=ROWS,
    width=st.integers(20, 90),
    terminal=st.booleans(),
    encoding=st.sampled_from(["utf-8", "ascii"]),
)
def test_a_table_is_printed_as_rich_prints_it(
    heads: list[str], rows: list[list[str]], width: int, terminal: bool, encoding: str
) -> None:
    columns, values = _make_columns(heads, rows)
    assert _printed(columns, values, width, terminal, encoding, fits=True) == _printed(
        columns, values, width, terminal, encoding, fits=False
    )


@settings(max_examples=60)
@given(heads=HEADS, rows=ROWS, width=st.integers(20, 90))
def test_a_pipe_gets_what_rich_prints(heads: list[str], rows: list[list[str]], width: int) -> None:
    columns, values = _make_columns(heads, rows)
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        print_table(Pipe(width), columns, values)
    output.flush()
    assert isinstance(output.buffer, io.BytesIO)
    assert output.buffer.getvalue() == _printed(columns, values, width, False, "utf-8", fits=False)


def test_no_column_vanishes_where_space_is_short() -> None:
    names = ["default/2026-11-30/07-37-40-e086d3", "completed (drawn)", "a=1 " * 20, "0.7000"]
    columns, rows = _make_columns(["run", "status", "overrides", "final\nval/accuracy"], [names])
    console = Console(file=io.StringIO(), width=76)
    print_table(console, columns, rows, shrinkable=["overrides"])
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert {len(line) for line in lines} == {76}
    assert [cell.strip() for cell in lines[-2].split("│")[1:-1]] == [names[0], "completed (d…", "a=1…", "0.7000"]
    assert "┳┳" not in lines[0]


@pytest.mark.parametrize("width", range(20, 80, 3))
def test_every_number_is_printed_whole_or_its_column_is_named(width: int) -> None:
    cells = ["val", "12345678", "balanced_accuracy", "0.9848", "0.95 to 1.00 *"]
    titles = ["part", "images", "overrides", "final\nvalue", "95 % interval"]
    columns, rows = _make_columns(titles, [cells])
    console = Console(file=io.StringIO(), width=width)
    print_table(console, columns, rows, shrinkable=["overrides"])
    assert isinstance(console.file, io.StringIO)
    table, _, note = console.file.getvalue().partition("no room for: ")
    left_out = [title for title in titles if title.replace("\n", " ") in " ".join(note.split())]
    shown = [cell for title, cell in zip(titles, cells, strict=True) if title not in left_out]
    numbers = {word for cell in shown for word in cell.split() if word[0].isdecimal()}
    assert numbers == {word for word in table.split() if word[0].isdecimal()} - {"95"}
    assert left_out[:1] in ([], ["overrides"], ["images"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_json_is_that_of_the_standard_library(value: Any) -> None:
    assert indent_json(value) == json.dumps(value, indent=2)
    if not isinstance(value, (str, type(None))):
        assert csv_cell(value) == json.dumps(value)


@pytest.mark.parametrize("value", [math.nan, {"runs": [{"a": math.inf}]}])
def test_no_json_has_numbers_that_json_lacks(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        indent_json(value)


@pytest.mark.parametrize(("encoding", "variables", "is_pipe"), [
    ("utf-8", {}, True),
    ("ascii", {}, False),
    ("utf-8", {"FORCE_COLOR": "1"}, False),
    ("utf-8", {"TTY_COMPATIBLE": "1"}, False),
])  # fmt: skip
def test_rich_prints_where_it_may_print_styles_or_other_lines(
    encoding: str, variables: dict[str, str], is_pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in render.TERMINAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    monkeypatch.setattr("os.isatty", lambda descriptor: False)
    assert isinstance(wide_console(), Pipe) == is_pipe


def _make_columns(heads: list[str], rows: list[list[str]]) -> tuple[list[Column], list[dict[str, str]]]:
    def make(place: int) -> Column:
        return heads[place], lambda row: str(row[f"{place}"])

    values = [{str(place): cell for place, cell in enumerate(row)} for row in rows]
    return [make(place) for place in range(len(heads))], values


def _printed(
    columns: list[Column], values: list[dict[str, str]], width: int, terminal: bool, encoding: str, *, fits: bool
) -> bytes:
    output = io.BytesIO()
    file = io.TextIOWrapper(output, encoding=encoding, errors="replace")
    console = Console(file=file, width=width, force_terminal=terminal, highlight=False, markup=False, emoji=False)
    with pytest.MonkeyPatch.context() as patch:
        if not fits:
            fit = render._fit_widths
            patch.setattr(render, "_fit_widths", lambda *words, **more: (*fit(*words, **more),))  # equal to no list
        print_table(console, columns, values)
    file.flush()
    return output.getvalue()
