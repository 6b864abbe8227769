"""Images and folders of images, made anew for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SavePicture = Callable[..., Path]


@pytest.fixture
def save_picture(tmp_path: Path) -> SavePicture:
    """save_picture("cats/a.png", seed=1, size=(8, 6)) writes an image of noise below tmp_path."""

    def save(name: str, *, seed: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or leaves anything in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("COPYCAT_CACHE", str(folder))
    return folder


@pytest.fixture
def pets(save_picture: SavePicture, tmp_path: Path) -> Path:
    """Two dogs and three cats, one of them in a sub-folder, each image another noise."""
    for seed, name in enumerate(["dog/1.png", "dog/2.PNG", "cat/a.png", "cat/b.jpeg", "cat/more/c.bmp"]):
        save_picture(f"pets/{name}", seed=seed)
    return tmp_path / "pets"
