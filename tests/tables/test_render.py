"""Tables on standard output."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from copycat.tables import render
from copycat.tables.render import Column, print_table

HEADS = "run", "final\nval/loss", "loss/日本", "x", "a longer title"
TEXTS = st.text(st.sampled_from("ab 1.–… 日é\t\x1b\u202e"), max_size=6)


@settings(max_examples=40)
@given(
    heads=st.lists(
        st.sampled_from(["run", "final\nval/loss", "loss/日本", "x", "a longer title"]), min_size=1, max_size=4
    ),
    rows=st.lists(st.lists(TEXTS, min_size=4, max_size=4), max_size=4),
    width=st.integers(20, 90),
    terminal=st.booleans(),
    encoding=st.sampled_from(["utf-8", "ascii"]),
)
def test_a_table_is_printed_as_rich_prints_it(
    heads: list[str], rows: list[list[str]], width: int, terminal: bool, encoding: str
) -> None:
    def make(place: int) -> Column:
        return heads[place], lambda row: str(row[f"{place}"])

    columns = [make(place) for place in range(len(heads))]
    values = [{str(place): cell for place, cell in enumerate(row)} for row in rows]
    assert _printed(columns, values, width, terminal, encoding, fits=True) == _printed(
        columns, values, width, terminal, encoding, fits=False
    )


def _printed(
    columns: list[Column], values: list[dict[str, str]], width: int, terminal: bool, encoding: str, *, fits: bool
) -> bytes:
    output = io.BytesIO()
    file = io.TextIOWrapper(output, encoding=encoding, errors="replace")
    console = Console(file=file, width=width, force_terminal=terminal, highlight=False, markup=False, emoji=False)
    with pytest.MonkeyPatch.context() as patch:
        if not fits:
            patch.setattr(render, "_width", lambda texts: 1000)
        print_table(console, columns, values)
    file.flush()
    return output.getvalue()
