"""The documentation builds as a site without a warning, whose reference is complete and which needs no network."""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from playwright.sync_api import Browser, expect

import copycat
from copycat.cli import main
from copycat.cli.arguments import COMMANDS
from copycat.config.dotted_keys import flatten
from copycat.models.metrics import metric_columns
from copycat.tables.run_table import read_run_rows
from tests.support.browser import open_page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
FIXTURES = ROOT / "tests" / "fixtures"
WEB = ("http:", "https:", "//")
CUT_OFF = """[...document.querySelectorAll("article :is(p, li, dt, dd, code, img)")]
    .filter(e => !e.closest(".table-wrapper, pre, .math") && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.textContent)"""
"""Texts that reach beyond the screen; tables, listings and formulas scroll inside themselves."""


class SitePage(HTMLParser):
    """Collect what a page links, what it loads, and what can be linked in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a":
            self.links += [found["href"]] if "href" in found else []
        else:
            self.loaded += [found[name] for name in ("src", "href", "srcset", "data") if name in found]


def build(docs: Path, to: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-E", str(docs), str(to)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    to = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", to)
    assert (done.returncode, done.stderr) == (0, "")
    return to


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, SitePage]:
    return {file.resolve(): SitePage(file) for file in site.rglob("*.html")}


def read_keys() -> Iterator[str]:
    """Yield every key of every file in conf/, read without its comments."""
    for file in CONF.rglob("*.yaml"):
        prefix = "".join(f"{part}." for part in file.parent.relative_to(CONF).parts)
        for key in flatten({k: v for k, v in yaml.safe_load(file.read_text()).items() if k != "defaults"}):
            # Hydra's own settings, and the axes of preset sweeps, are no keys that one sets
            is_inner = (not prefix and key.startswith("hydra.")) or re.match(r"sweep\.(params|when)\.", prefix + key)
            if not is_inner and not re.search(r"(^|\.)_\w+_$", key):
                yield prefix + key


def test_internal_links_and_their_anchors_resolve(pages: dict[Path, SitePage]) -> None:
    assert len(pages) > 30
    for file, page in pages.items():
        for link in page.links:
            if not link.startswith((*WEB, "mailto:")):
                path, anchor = urldefrag(unquote(link))
                target = (file.parent / path).resolve() if path else file
                assert target.is_file(), f"{file.name}: {link}"
                assert not anchor or anchor in pages[target].anchors, f"{file.name}: {link}"


def test_no_page_loads_anything_from_the_network(site: Path, pages: dict[Path, SitePage]) -> None:
    for file, page in pages.items():
        assert page.loaded
        assert not [url for url in page.loaded if url.startswith(WEB)], file.name
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:|//)", style.read_text()), style.name


def test_every_command_with_its_flags_is_in_the_reference(site: Path, pages: dict[Path, SitePage]) -> None:
    file = (site / "reference" / "commands.html").resolve()
    text = file.read_text()
    for command in COMMANDS:
        assert f"copycat-{command}" in pages[file].anchors
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            main([command, "--help"])
        flags = re.findall(r"(?<![\w-])--[a-z][\w-]+", printed.getvalue())
        assert flags or command == "data"
        for flag in flags:
            assert f"cmdoption-copycat-{command}{flag[1:]}" in pages[file].anchors or flag in text, f"{command} {flag}"
    assert "cmdoption-copycat-data-draw-seed" in pages[file].anchors


def test_every_configuration_key_and_option_is_in_the_reference(site: Path, pages: dict[Path, SitePage]) -> None:
    page = pages[(site / "reference" / "configuration.html").resolve()]
    keys = set(read_keys())
    assert {"seed", "optimizer.lr", "callbacks.ema.decay", "hydra.sweeper.sampler.multivariate"} <= keys
    assert not {key for key in keys if f"confval-{key}" not in page.anchors}
    text = (site / "reference" / "configuration.html").read_text()
    for file in [*CONF.rglob("*/*.yaml"), *(ROOT / "experiments").glob("*.yaml")]:
        assert f">{file.stem}</span>" in text, file


def test_comments_are_shown_as_they_are_written(site: Path) -> None:
    shown = [
        re.sub(r"<[^>]+>", "", (site / f"reference/{name}.html").read_text()) for name in ("configuration", "commands")
    ]
    for comment in (r"as patient or '(.*)_\d+'", "as copycat data check --deep:", "none: a value for each class"):
        assert comment in unescape(shown[0])
    assert "of --deep: the page with thumbnails" in unescape(shown[1])


def test_every_public_name_with_its_methods_is_in_the_reference(site: Path, pages: dict[Path, SitePage]) -> None:
    page = pages[(site / "reference" / "python.html").resolve()]
    for name in copycat.__all__:
        members = vars(getattr(copycat, name)) if name != "UserError" else ()
        public = [member for member in members if not member.startswith("_")] if name[0].isupper() else []
        assert {f"copycat.{name}", *(f"copycat.{name}.{member}" for member in public)} <= page.anchors


def test_every_column_of_metrics_and_tables_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    columns = set(metric_columns(("train", "val"), several_batches=True))
    (row,) = (dict(row) for row in read_run_rows(FIXTURES / "schema_2" / "completed"))
    overrides = {word.partition("=")[0] for word in row["overrides"].split()}
    columns |= {name for name in row if not name.startswith(("final/", "best/")) and name not in overrides}
    assert not {column for column in columns if f"`{column}`" not in text}


@pytest.mark.parametrize("added", ["data/cats.yaml", "optimizer/new.yaml"])
def test_a_key_or_an_option_without_a_meaning_fails_the_build(added: str, tmp_path: Path) -> None:
    program = (
        "import sys, shutil, pathlib; sys.path.insert(0, 'docs/_ext'); import options, reference\n"
        f"options.CONF = pathlib.Path({str(tmp_path / 'conf')!r}); shutil.copytree('conf', options.CONF)\n"
        f"with (options.CONF / {added!r}).open('a') as file: file.write('riddle: 1\\n')\n"
        "list(reference.describe_keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    *_, error = done.stderr.splitlines()
    assert "ExtensionError" in error
    assert added in error


@pytest.mark.browser
def test_pages_fit_a_phone_and_are_searched_without_a_server(site: Path, browser: Browser) -> None:
    with open_page(browser, dark=True, width=360) as opened:
        for name in ("reference/configuration", "reference/metrics", "explanation/packs", "how-to/sweep"):
            opened.page.goto((site / f"{name}.html").as_uri())
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360, name
            assert opened.page.evaluate(CUT_OFF) == [], name
        opened.page.goto((site / "search.html").as_uri() + "?q=optimizer.lr")
        expect(opened.page.get_by_role("link", name="optimizer.lr").first).to_be_visible()
        assert all(url.startswith(("file:", "data:")) for url in opened.requested_urls)
        assert opened.errors == []
