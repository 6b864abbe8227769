"""A real browser for tests: Debian's chromium, without a window, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Seen:
    """A page, and what went wrong on it."""

    page: Page
    wrong: list[str] = field(default_factory=list)
    """Errors of scripts and on the console, and answers that are none."""
    fetched: list[str] = field(default_factory=list)


@contextmanager
def started() -> Iterator[Browser]:
    """A browser, for many pages: it takes a second or two to start."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("expected a browser: apt-get install chromium")
        pytest.skip("install a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*OFFLINE])
        yield browser
        browser.close()


@contextmanager
def browsing(browser: Browser, *, dark: bool = False, width: int = 1600) -> Iterator[Seen]:
    """An empty page, which shares no cookies, cache or settings with others."""
    page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light")
    seen = Seen(page)
    page.on("console", lambda said: seen.wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: seen.wrong.append(str(error)))
    page.on("response", lambda answer: seen.wrong.append(answer.url) if answer.status >= 400 else None)
    page.on("request", lambda asked: seen.fetched.append(asked.url))
    try:
        yield seen
    finally:
        page.close()  # and the context that was made for it
