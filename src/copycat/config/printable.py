"""Make untrusted text safe to print: names, values and messages from run folders, data and configurations.

Everything that a command prints passes through here: a line by `print_line`, a table by `make_console`, a CSV cell by
`csv_text`, a page by `printable_lines`.
"""

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from copycat.config.suggestions import format_value

if TYPE_CHECKING:
    from rich.console import Console

Notify = Callable[[str], None]
"""Takes each line that a user should know."""
CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Characters that move a terminal's cursor, change its colors or turn text around; not line feeds and tabs."""
_CONTROL = re.compile(f"[{CONTROL}]")
UNPRINTABLE = re.compile(f"[\t\n{CONTROL}]")
"""What a single line of text may not contain."""
_FORMULA = re.compile(r"[=+\-@＝＋－＠].")
"""Characters that a spreadsheet interprets as the start of a formula, with more after them.

Source: OWASP, CSV Injection.
"""


def printable(value: Any) -> str:
    """Format an input value on one line, safe to print."""
    text = value if isinstance(value, str) else format_value(value)
    return text if text.isascii() and text.isprintable() else UNPRINTABLE.sub("�", text)


def printable_lines(text: str) -> str:
    """Make text of several lines safe to print, keeping line feeds and tabs."""
    return _CONTROL.sub("�", text)


def csv_text(text: str) -> str:
    """Make text safe for a cell of a CSV: on one line, and not a formula in a spreadsheet."""
    text = printable(text)
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def print_line(line: object, *, error: bool = False) -> None:
    """Print one line of printable text to standard output, or to standard error."""
    print(printable(str(line)), file=sys.stderr if error else sys.stdout, flush=True)


def make_console(*, error: bool = False, width: int | None = None, soft_wrap: bool = False) -> "Console":
    """Make a console on standard output or error that does not interpret markup or emoji codes, nor color numbers.

    `width` is in columns, by default the terminal's; `soft_wrap` leaves long lines to the terminal.
    """
    from rich.console import Console

    return Console(stderr=error, width=width, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


def is_utf_8(name: str) -> bool:
    """Return whether a file's name can be written as UTF-8; other bytes come from the system as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
