"""Sets that do not fit in memory: images decoded on demand, and the cache of their digests."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from copycat.data import lazy_images
from copycat.data.decode import decode
from copycat.data.lazy_images import LazyImages
from copycat.data.split import Decoder
from tests.support.images import load_folder, stack_images

SavePicture = Callable[..., Path]


def test_a_set_above_memory_is_decoded_on_demand_with_the_same_pixels(pets: Path) -> None:
    small, large = load_folder(pets)["train"], load_folder(pets, memory_mb=0)["train"]
    assert isinstance(large.images, LazyImages)
    assert isinstance(large.images, Decoder)
    assert tuple(large.images.shape) == (5, 3, 8, 8)
    assert torch.equal(stack_images(large), stack_images(small))
    assert (large.digests, large.names) == (small.digests, small.names)
    assert torch.equal(large.labels, small.labels)


def test_the_border_between_memory_and_demand_is_the_bytes_of_all_parts(
    save_picture: SavePicture, tmp_path: Path
) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        save_picture(f"set/{name}/a.png")
    side = 296  # 4 * 3 * 296² is just above a mebibyte, 4 * 3 * 295² just below
    assert isinstance(load_folder(tmp_path / "set", image_size=side, memory_mb=1)["train"].images, LazyImages)
    assert isinstance(load_folder(tmp_path / "set", image_size=side - 1, memory_mb=1)["val"].images, torch.Tensor)


def test_images_on_demand_survive_another_process_and_another_folder(
    pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    images = load_folder(Path("pets"), memory_mb=0)["train"].images
    monkeypatch.chdir("/")
    assert torch.equal(pickle.loads(pickle.dumps(images))[4], images[4])
    loader: DataLoader[torch.Tensor] = DataLoader(images, batch_size=5, num_workers=1)  # type: ignore[arg-type]
    assert torch.equal(next(iter(loader)), stack_images(load_folder(pets)["train"]))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that the folder decodes from now on."""
    names: list[str] = []

    def recording(path: str, **options: Any) -> torch.Tensor:
        names.append(Path(path).name)
        return decode(path, **options)

    monkeypatch.setattr(lazy_images, "decode", recording)
    return names


def test_digests_are_worked_out_once_and_again_only_for_a_changed_file(pets: Path, decoded: list[str]) -> None:
    first = load_folder(pets, memory_mb=0)["train"].digests
    assert len(decoded) == 5
    decoded.clear()
    assert load_folder(pets, memory_mb=0)["train"].digests == first
    assert decoded == []
    (pets / "dog" / "1.png").write_bytes((pets / "cat" / "a.png").read_bytes())
    second = load_folder(pets, memory_mb=0)["train"].digests
    assert decoded == ["1.png"]
    assert second[3] == second[0] != first[3]


def test_another_size_or_fit_has_digests_of_its_own(pets: Path, decoded: list[str]) -> None:
    load_folder(pets, memory_mb=0)
    load_folder(pets, memory_mb=0, fit="pad")
    load_folder(pets, memory_mb=0, image_size=9)
    assert len(decoded) == 15


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"cat/a.png": 3}', b"\xff\xfe", b"null"])
def test_a_damaged_cache_is_ignored_and_mended(pets: Path, own_cache: Path, decoded: list[str], damage: bytes) -> None:
    first = load_folder(pets, memory_mb=0)["train"].digests
    (file,) = (own_cache / "digests").iterdir()
    file.write_bytes(damage)
    assert load_folder(pets, memory_mb=0)["train"].digests == first
    decoded.clear()
    load_folder(pets, memory_mb=0)
    assert decoded == []
    assert list((own_cache / "digests").iterdir()) == [file]


def test_a_cache_that_cannot_be_written_only_costs_time(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "file" / "cache"))
    assert len(load_folder(pets, memory_mb=0)["train"]) == 5


def test_an_interrupted_first_pass_keeps_what_it_has(
    pets: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: str, **options: Any) -> torch.Tensor:
        if Path(path).name == "2.PNG":
            raise KeyboardInterrupt
        return decode(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(lazy_images, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_folder(pets, memory_mb=0)
    load_folder(pets, memory_mb=0)
    assert decoded == ["2.PNG"]
