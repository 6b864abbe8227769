"""A page of HTML that holds all it shows: it needs no network, and opens from a mail."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from copycat.config.errors import UserError
from copycat.config.printable import printable_lines
from copycat.records.run_folder import write_whole


@dataclass(frozen=True)
class Image:
    """A plot, and what it shows in words: its caption, and its text for those who cannot see it."""

    png: bytes
    says: str
    name: str = ""
    """Of its file, where plots are written by themselves; without one, it is none of them."""
    small: bool = False
    """One of several in a row."""

    @property
    def base64(self) -> str:
        return b64encode(self.png).decode()


@dataclass(frozen=True)
class Table:
    """The first cell of a row is its title."""

    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """What stands under a heading, in this order."""

    title: str
    note: str = ""
    table: Table | None = None
    images: Sequence[Image] = ()
    code: str = ""


@dataclass(frozen=True)
class Page:
    """All texts are shown as they are but for control characters: nothing in them is read as HTML."""

    title: str
    summary: str
    sections: Sequence[Section]

    def html(self) -> str:
        loader = PackageLoader(__package__, "")
        environment = Environment(loader=loader, autoescape=True, finalize=_finalize, undefined=StrictUndefined)
        return environment.get_template("page.html").render(page=self)


def _finalize(value: object) -> object:
    """Make each text of a page printable as the template takes it."""
    return printable_lines(value) if isinstance(value, str) else value


def write_images(page: Page, to: Path) -> Iterator[Path]:
    """Write a page's plots by themselves.

    Args:
        to: a folder; made if need be.

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
    """Write it whole, or not at all.

    Raises:
        UserError: where that file cannot be written.
    """
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, page.html().encode(errors="replace"))
    except OSError as error:
        raise UserError(f"--to: expected a file to write to; got {to}: {error.strerror}.") from error
