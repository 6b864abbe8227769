"""A self-contained HTML page: it needs no network."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.printable import printable_lines


@cache
def stylesheet() -> Markup:
    """Return the stylesheet of all pages, for a `<style>` element: reports and the app have one design.

    It defines the colors of light and dark screens and of paper as custom properties (`--surface`, `--text`,
    `--accent`, …), styles plain elements, and has classes: `card`, `cards` (a grid of cards), `good`, `warn`, `bad` (the mark of a
    card), `scroll` (around a table), `tiles` (a grid of figures), `controls` (a row of labels and buttons), `button`,
    `primary`, `quiet`, `lead`, and `screen` (not printed).
    """
    return Markup(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class PageImage:
    """Hold a plot and its caption, which is also its alternative text."""

    png: bytes
    caption: str
    name: str = ""
    """Name of its PNG file without suffix; a plot without a name is not written to a file."""
    small: bool = False
    """Whether several stand in a row."""

    @property
    def base64(self) -> str:
        """Return the PNG as base64 text."""
        return b64encode(self.png).decode()


@dataclass(frozen=True)
class Table:
    """Hold a table whose first cell of each row is the row's title."""

    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """Hold the contents below a heading, in this order."""

    title: str
    note: str = ""
    table: Table | None = None
    images: Sequence[PageImage] = ()
    code: str = ""


@dataclass(frozen=True)
class Page:
    """Hold a page whose texts are escaped: none is interpreted as HTML, and control characters are replaced."""

    title: str
    summary: str
    sections: Sequence[Section]

    def html(self) -> str:
        """Render the page."""
        loader = PackageLoader(__package__, "")
        environment = Environment(loader=loader, autoescape=True, finalize=_finalize, undefined=StrictUndefined)
        return environment.get_template("page.html").render(page=self, stylesheet=stylesheet())


def _finalize(value: object) -> object:
    """Make each text of a page printable as the template takes it."""
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def write_images(page: Page, to: Path) -> Iterator[Path]:
    """Write a page's named plots as PNG files to a folder, which is created if missing, and yield their paths.

    Raises:
        UserError: where it cannot be written to.
    """
    try:
        to.mkdir(parents=True, exist_ok=True)
        for image in (image for section in page.sections for image in section.images if image.name):
            path = to / f"{image.name}.png"
            write_whole(path, image.png)
            yield path
    except OSError as error:
        raise UserError(f"--png: expected a folder to write to; got {to}: {error.strerror}.") from error


def write_page(page: Page, to: Path) -> None:
    """Write the page atomically.

    Raises:
        UserError: where the file cannot be written.
    """
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, page.html().encode(errors="replace"))
    except OSError as error:
        raise UserError(f"--to: expected a file to write to; got {to}: {error.strerror}.") from error
