"""Pages that hold all they show."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.inspection.reports.page import Page, PageImage, Section, Table, write_page
from tests.support.html import parse_html


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_texts_are_shown_as_they_are(text: str) -> None:
    section = Section(
        title=text, note=text, table=Table([[text, text]], [text, text]), images=[PageImage(b"", text)], code=text
    )
    found = parse_html(Page(text, text, [section]).html())
    assert found.headings == [text, text]
    assert found.rows == [[text, text], [text, text]]
    assert found.images == [("data:image/png;base64,", text)]
    assert "script" not in found.tags


def test_what_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--to: expected a file to write to; got .*: Not a directory\.$|File exists"):
        write_page(Page("", "", []), tmp_path / "file" / "report.html")
    with pytest.raises(UserError, match=r"^--to: expected a file to write to"):
        write_page(Page("", "", []), tmp_path)
