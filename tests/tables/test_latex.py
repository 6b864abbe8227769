"""Any text can be in a table: LaTeX and Markdown show it and read it as nothing else."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from copycat.config.printable import printable
from copycat.tables import latex, markdown
from copycat.tables.paper_table import PaperCell, PaperTable

HOSTILE = st.one_of(
    st.text(max_size=12),
    st.text("\\{}$&#_%^~<>|\"'`-,[]*!?:;/ \n\r\t\u2028ab猫é", max_size=12),
    st.sampled_from(
        [r"\end{table}", r"\\[1cm]", r"\input{/etc/passwd}", "^^4d", "%", "a|b", "</td>", "--", "``", "`a`"]
    ),
)
TOKEN = re.compile(
    r"\\(?P<name>[a-z]+|char34)\{\}|\\(?P<symbol>[{}$&#_%])|\{(?P<group>[^{}\\]*)\}|\$\\(?P<math>pm|alpha|times)\$"
    r"|(?P<dagger>\$\^\{\\dagger\}\$)|(?P<plain>[^\\{}$&#_%^~])"
)
NAMES = {
    "textbackslash": "\\",
    "textasciicircum": "^",
    "textasciitilde": "~",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "char34": '"',
    "textquotesingle": "'",
    "textasciigrave": "`",
    "textendash": "–",
    "dots": "…",
}
MATH = {"pm": "±", "alpha": "α", "times": "×"}


def read_latex(text: str) -> str:
    """Read escaped text as TeX does; fail where a character has another meaning than itself."""
    read, place = "", 0
    while place < len(text):
        token = TOKEN.match(text, place)
        assert token, f"{text[place:]!r} is more than text"
        found = {name: value for name, value in token.groupdict().items() if value is not None}
        if "name" in found:
            read += NAMES[found["name"]]
        elif "math" in found:
            read += MATH[found["math"]]
        else:
            read += "†" if "dagger" in found else next(iter(found.values()))
        place = token.end()
    return re.sub(r"\[U\+([0-9A-F]{4,6})\]", lambda match: chr(int(match[1], 16)), read)


@given(HOSTILE)
def test_latex_shows_the_text(text: str) -> None:
    escaped = latex.escape(text)
    assert read_latex(escaped) == re.sub(
        r"\[U\+([0-9A-F]{4,6})\]", lambda match: chr(int(match[1], 16)), printable(text)
    )
    assert not re.search(r"--|,,|''|``|[?!]`", escaped)  # ligatures
    assert not escaped.startswith(("[", "*"))  # arguments of the end of a line


def make_table(label: str, title: str, cell: str) -> PaperTable:
    rows = [([label], [PaperCell(cell, is_best=True)]), ([cell], [PaperCell(label, is_close=True)])]
    return PaperTable([title], [(title, "minimize")], rows, [label, cell])


@given(HOSTILE, HOSTILE, HOSTILE)
def test_latex_keeps_its_structure(label: str, title: str, cell: str) -> None:
    lines = list(latex.render_latex(make_table(label, title, cell)))
    assert [line for line in lines if re.fullmatch(r"\\(top|mid|bottom)rule", line)] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
    rows = [line for line in lines if line.endswith(r" \\")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
    assert not any("\n" in line or "\r" in line for line in lines)
    assert len(lines) == 13


@given(HOSTILE, HOSTILE)
def test_markdown_shows_the_text(label: str, title: str) -> None:
    rows = [([label], [PaperCell("0.5 ± 0.1", is_best=True)]), (["a"], [PaperCell("0.4", is_close=True)])]
    lines = list(markdown.render_markdown(PaperTable([title], [(title, "minimize")], rows, [label])))
    html = MarkdownIt("commonmark").enable("table").render("\n".join(lines))
    cells = [unescape(cell).strip() for cell in re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", html, re.DOTALL)]
    shown = [printable(title), f"{printable(title)} ↓", "runs below"]
    shown += [printable(label), "<strong>0.5 ± 0.1</strong>", "1", "a", "0.4 †", "2"]
    assert cells == [text.strip() for text in shown]
