"""Draw a terminal as HTML: commands with what they print."""

from collections.abc import Iterable
from html import escape
from io import StringIO
from typing import Literal

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

Scheme = Literal["light", "dark"]
COLUMNS = 84
THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": SVG_EXPORT_THEME}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px; box-sizing: border-box; width: 1280px; display: flex; gap: 20px; align-items: stretch;
        background: {outside}; }}
figure {{ margin: 0; border: 1px solid {border}; border-radius: 8px; overflow: hidden; background: {inside}; }}
figure.terminal {{ flex: 0 0 650px; }}
figure.report {{ flex: 1; }}
pre {{ margin: 0; padding: 16px; font: 12px/1.32 'DejaVu Sans Mono', monospace; color: {text}; white-space: pre-wrap; }}
img {{ display: block; width: 100%; }}
</style><body><figure class="terminal">{terminal}</figure>
<figure class="report"><img src="data:image/png;base64,{report}" alt=""></figure></body></html>"""
COLORS = {
    "light": {"outside": "#ffffff", "border": "#d0d7de", "inside": "#f6f8fa", "text": "#1f2328"},
    "dark": {"outside": "#0d1117", "border": "#30363d", "inside": "#161b22", "text": "#e6edf3"},
}


def render_terminal(commands: Iterable[tuple[str, str]], *, scheme: Scheme) -> str:
    """Render commands and what they printed as a `pre` element, the commands in bold."""
    console = Console(width=COLUMNS, file=StringIO(), record=True)
    for command, printed in commands:
        console.print(Text.assemble(("$ ", "green"), (command, "bold")), soft_wrap=True)
        console.print(Text(printed.rstrip() + "\n"), soft_wrap=True)
    return console.export_html(theme=THEMES[scheme], inline_styles=True, code_format="<pre>{code}</pre>")


def render_page(terminal: str, report_png: str, *, scheme: Scheme) -> str:
    """Return a page with a terminal beside a picture of a report, a PNG in base64."""
    return PAGE.format(terminal=terminal, report=escape(report_png), **COLORS[scheme])
