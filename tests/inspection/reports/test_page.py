"""Pages that hold all they show."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.inspection.reports.contents import Axis, Chart, Fact, GalleryImage, PageImage, Section, Series, Table
from copycat.inspection.reports.page import Page, write_page
from tests.support.html import parse_html


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_texts_are_shown_as_they_are(text: str) -> None:
    chart = Chart(
        title=text, x_axis=Axis(label=text), y_axis=Axis(label=text), series=[Series(label=text, x=[0], y=[1])]
    )
    section = Section(
        title=text,
        note=text,
        table=Table([[text, text]], [text, text], text),
        images=[PageImage(b"png", text, charts=[chart])],
        gallery=[GalleryImage(b"", text, text, text, 0.5)],
        code=text,
        folded={text: text},
    )
    page = Page(text, text, [section], [Fact(text, text, text, text)]).html()
    found = parse_html(page)
    assert found.headings == [text, text]
    assert found.rows == [[text, text], [text, text]]
    assert found.images[0] == ("data:image/png;base64,cG5n", text)
    assert found.data[0]["charts"][0]["title"] == text.replace("\u2028", "�")
    assert page.count("<script") == 4  # its data, and three of ours


def test_a_page_runs_its_own_scripts_and_no_other() -> None:
    gallery = [GalleryImage(b"", "a", "cat", "dog", 0.5)]
    page = Page("", "", [Section(title="", gallery=gallery)]).html()
    (policy,) = re.findall('Content-Security-Policy" content="(.*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for kind, text in (("script", script), ("style", style)):
        assert f"{kind}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "script-src 'none'" in Page("", "", [Section(title="")]).html()


def test_what_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--to: expected a file to write to; got .*: Not a directory\.$|File exists"):
        write_page(Page("", "", []), tmp_path / "file" / "report.html")
    with pytest.raises(UserError, match=r"^--to: expected a file to write to"):
        write_page(Page("", "", []), tmp_path)
