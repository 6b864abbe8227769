"""A self-contained HTML page: it needs no network, and runs no script but its own."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.printable import printable_lines
from copycat.inspection.reports.contents import Fact, Section


@cache
def stylesheet() -> Markup:
    """Return the stylesheet of all pages, for a `<style>` element: reports and the app have one design.

    It defines the colors of light and dark screens and of paper as custom properties (`--surface`, `--text`,
    `--accent`, …), styles plain elements, and has classes: `card`, `cards` (a grid of cards), `good`, `warn`, `bad`
    (the mark of a card), `scroll` (around a table), `tiles` (a grid of figures), `controls` (a row of labels and
    buttons), `button`, `primary`, `quiet`, `lead`, and `screen` (not printed).
    """
    return _asset("style.css")


@dataclass(frozen=True)
class Page:
    """Hold a page whose texts are escaped: none is interpreted as HTML, and control characters are replaced."""

    title: str
    summary: str
    sections: Sequence[Section]
    facts: Sequence[Fact] = ()

    def html(self) -> str:
        """Render the page."""
        scripts = [_asset(name) for name in self._scripts()]
        style = Markup("\n").join([stylesheet(), *([_asset("vendor/uplot.css")] if scripts else [])])
        none = "'none'"
        policy = (
            f"default-src {none}; img-src data:; style-src {_source(style)};"
            f" script-src {' '.join(map(_source, scripts)) or none}; base-uri {none}; form-action {none}"
        )
        return _template().render(page=self, style=style, scripts=scripts, policy=Markup(policy))

    def _scripts(self) -> Iterator[str]:
        """Yield the names of the scripts that the contents need."""
        images = [image for section in self.sections for image in section.images]
        if any(image.charts for image in images):
            yield from ("vendor/uplot.js", "charts.js")
        if any(image.parallel for image in images):
            yield "parallel.js"
        if any(section.gallery for section in self.sections):
            yield "gallery.js"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        finalize=make_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = _base64
    return environment.get_template("page.html")


@cache
def _asset(name: str) -> Markup:
    return Markup(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def _source(text: str) -> str:
    """Return the content of an inline element as a source of a content security policy."""
    return f"'sha256-{_base64(sha256(text.encode()).digest())}'"


def _base64(content: bytes) -> str:
    return b64encode(content).decode()


def make_printable(value: object) -> object:
    """Return a text of a page without control characters, and all else as it is: the `finalize` of its template."""
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
