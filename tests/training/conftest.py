"""Images of pets, and settings under which a run is compared with another bit by bit."""

from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
import torch

from tests.support.callbacks import KillCallback
from tests.support.images import write_image_folder


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = {"cat": 0, "dog": 25}
    return write_image_folder(
        tmp_path_factory.mktemp("pets"), classes=classes, parts={"train": 20, "val": 5}, levels=206, seed=1, digits=2
    )


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for tiny images, where more only wait for each other; as many as there are for the real ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if "cats_folder" in request.fixturenames else 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def all_checkpoints(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write each checkpoint that is due, so that its steps are known, and kill no run of the next test."""
    monkeypatch.setattr("copycat.training.checkpoints.MAX_SAVING_SHARE", inf)
    KillCallback.after = None
    yield
    KillCallback.after = None


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 17 training images and 5: in batches of 4 the last one is empty on one of two ranks."""
    folder, classes, parts = tmp_path_factory.mktemp("uneven"), {"cat": 60, "dog": 0}, {"train": 9, "val": 4}
    write_image_folder(folder, classes=classes, parts=parts, levels=190)
    for number in range(3):
        (folder / "train" / "dog" / f"{number}.png").rename(folder / "train" / "cat" / f"1{number}.png")
    for name in ("train/cat/0.png", "val/dog/0.png", "val/dog/1.png", "val/dog/2.png"):
        (folder / name).unlink()
    return folder
