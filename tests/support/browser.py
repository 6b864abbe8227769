"""Drive a real browser by Playwright: Debian's chromium, headless."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class BrowserPage:
    """Hold a page, its errors and its requests."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Script errors, console errors and URLs of failed responses."""
    requested_urls: list[str] = field(default_factory=list)


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Start a browser for many pages, as a start takes a second or two; skip the test where none is installed."""
    path = next((program for name in NAMES if (program := shutil.which(name))), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("expected a browser: apt-get install chromium")
        pytest.skip("install a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*OFFLINE])
        yield browser
        browser.close()


@contextmanager
def open_page(
    browser: Browser, *, dark: bool = False, width: int = 1600, scripts: bool = True
) -> Iterator[BrowserPage]:
    """Open an empty page that shares no cookies, cache or settings with other pages."""
    page = browser.new_page(
        viewport={"width": width, "height": 1000},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
    )
    seen = BrowserPage(page)
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("response", lambda response: seen.errors.append(response.url) if response.status >= 400 else None)
    page.on("request", lambda request: seen.requested_urls.append(request.url))
    try:
        yield seen
    finally:
        page.close()  # closes its browser context too


WIDTHS = (360, 768, 1920)
"""Of a phone, a tablet and a large screen, in pixels."""


def check_layout(page: Page) -> None:
    """Require that a page does not scroll sideways and has no fault by axe-core, at three widths, light and dark."""
    page.evaluate(AXE_SCRIPT)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1000})
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
            assert _find_faults(page) == [], (scheme, width)


def _find_faults(page: Page) -> list[tuple[str, list[str]]]:
    """Return the rules of axe-core that a page breaks, with the elements that do."""
    found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"]})["violations"]
    return [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in found]
