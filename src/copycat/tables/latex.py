"""Render a table as LaTeX, with booktabs; it compiles with pdfLaTeX, XeLaTeX and LuaLaTeX, whatever its texts are."""

import re
from collections.abc import Iterator

from copycat.config.printable import printable
from copycat.tables.paper_table import PaperCell, PaperTable, group_by_runs

COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": r"{[}",  # after a line's end they would be read as its argument
    "]": r"{]}",
    "*": r"{*}",
    "±": r"$\pm$",
    "†": r"$^{\dagger}$",
    "α": r"$\alpha$",
    "×": r"$\times$",
    "–": r"\textendash{}",
    "…": r"\dots{}",
}
"""LaTeX of characters that have a meaning, or that the default encoding lacks."""
_LETTERS = re.compile(r"[ -~À-ÏÑ-ÖØ-Ýß-ïñ-öø-ýÿ]")
"""Characters that every engine sets as they are, beside those of COMMANDS."""


def escape(text: str) -> str:
    """Escape a text for LaTeX; a character that pdfLaTeX cannot set becomes its code point, as [U+732B]."""
    escaped = "".join(_escape_character(character) for character in printable(text))
    return re.sub(r"([-,])(?=\1)", r"{\1}", escaped)  # two of them would become one character


def _escape_character(character: str) -> str:
    if (command := COMMANDS.get(character)) is not None:
        return command
    return character if _LETTERS.fullmatch(character) else f"{{[}}U+{ord(character):04X}{{]}}"


def render_latex(table: PaperTable) -> Iterator[str]:
    """Yield the lines of a table environment; the runs of each cell are named in comments."""
    titles = [escape(title) for title in table.row_titles]
    arrows = {"minimize": r"$\downarrow$", "maximize": r"$\uparrow$", None: ""}
    titles += [f"{escape(title)} {arrows[direction]}".rstrip() for title, direction in table.column_titles]
    yield r"% \usepackage{booktabs}"
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{escape(' '.join(table.notes))}}}"
    yield rf"\begin{{tabular}}{{{'l' * len(table.row_titles)}{'r' * len(table.column_titles)}}}"
    yield r"\toprule"
    yield rf"{' & '.join(titles)} \\"
    yield r"\midrule"
    for labels, cells in table.rows:
        for columns, runs in group_by_runs(table, cells):
            for run in runs:
                named = f"{' and '.join(columns)}: {run.digest} {run.row['folder']}"
                yield f"% {printable(named).encode('ascii', 'backslashreplace').decode()}"
        yield rf"{' & '.join([*map(escape, labels), *map(_cell, cells)])} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _cell(cell: PaperCell) -> str:
    text = escape(cell.text)
    return rf"\textbf{{{text}}}" if cell.is_best else text + COMMANDS["†"] * cell.is_close
