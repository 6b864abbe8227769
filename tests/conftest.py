"""What every test has: a cache and settings of its own, and the real data where COPYCAT_DATA names it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# a shell that runs pytest in the background has it ignore Ctrl-C, and every command that a test starts with it
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def copycat_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or leaves anything in the user's cache; what one draws, the others find drawn."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as session:
        session.setenv("COPYCAT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def copycat_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or leaves anything among the user's settings; a run that one makes is the whole session's own."""
    folder = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as session:
        session.setenv("COPYCAT_SETTINGS", str(folder))
        yield folder


@pytest.fixture(scope="session")
def cats_folder() -> Path:
    """The folder of the real cat data."""
    if not (named := os.environ.get("COPYCAT_DATA")):
        pytest.skip("set COPYCAT_DATA to the folder of the real cat data")
    folder = Path(named).absolute()
    missing = [name for name in ("train_catvnoncat.h5", "test_catvnoncat.h5") if not (folder / name).is_file()]
    if missing:
        pytest.fail(f"COPYCAT_DATA={named} has no {' and no '.join(missing)}")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8×8 images, dark dogs and bright cats: 16 to train on, 8 to validate on."""
    root = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for label, name in enumerate(("dog", "cat")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 180, (8, 8, 3), dtype=np.uint8) + np.uint8(60 * label)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return root
