"""Text from outside, made printable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.printable import csv_text, make_console, print_line, printable, printable_lines


@given(st.text())
def test_any_text_becomes_one_line_that_moves_no_cursor(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.splitlines() in ([shown], [])
    assert "\x1b" not in shown
    shown.encode()


@given(st.text())
def test_lines_stay_lines(text: str) -> None:
    assert printable_lines(text).count("\n") == text.count("\n")
    assert printable(printable_lines(text)) == printable(text)


@pytest.mark.parametrize("text", ["Käse 日本語 🐈 קטן ‌", "a b", "“x” – y"])
def test_names_of_all_languages_stay_as_they_are(text: str) -> None:
    assert printable(text) == printable_lines(text) == text


def test_values_are_shown_as_typed() -> None:
    assert [printable(value) for value in (None, True, [1, None], 0.1)] == ["null", "true", "[1, null]", "0.1"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+model=x", "'+model=x"),
        ("-x", "'-x"),
        ("@SUM(1)", "'@SUM(1)"),
        ("＝1", "'＝1"),
        ("-1e-3", "-1e-3"),
        ("+7", "+7"),
        ("a=1", "a=1"),
        ("", ""),
        ("\r=1", "�=1"),
    ],
)
def test_text_in_a_cell_is_no_formula_and_a_number_stays_one(text: str, cell: str) -> None:
    assert csv_text(text) == cell


@pytest.mark.parametrize("error", [False, True])
def test_a_line_is_printed_as_one(error: bool, capsys: pytest.CaptureFixture[str]) -> None:
    print_line("a\nidentical: \x1b[31m", error=error)
    assert sorted(capsys.readouterr()) == ["", "a�identical: �[31m\n"]


def test_a_console_shows_markup_and_names_of_emoji_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print(":cat: [bold]x[/bold]")
    assert capsys.readouterr().out == ":cat: [bold]x[/bold]\n"
