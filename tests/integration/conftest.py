"""Images and a browser for tests that run the command as a user does."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser import started


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two classes of twelve 8×8 PNG files each: bright ones and dark ones."""
    folder = tmp_path / "images"
    chance = np.random.default_rng(0)
    for name, darkest in (("bright", 128), ("dark", 0)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = chance.integers(darkest, darkest + 128, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, for all tests of a file."""
    with started() as found:
        yield found
