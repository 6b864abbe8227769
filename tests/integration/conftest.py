"""Images and a browser for tests that run the command as a user does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import start_browser
from tests.support.images import write_image_folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two classes of twelve 8×8 PNG files each: bright ones and dark ones."""
    classes = {"bright": 128, "dark": 0}
    return write_image_folder(tmp_path / "images", classes=classes, parts={"": 12}, levels=128)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, for all tests of a file."""
    with start_browser() as found:
        yield found
