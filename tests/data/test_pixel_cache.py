"""Decoded images in files: made once, whole, and no larger than asked."""

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from errno import EMFILE
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.places import cache_folder
from copycat.data.datamodule import DataModule
from copycat.data.decode import UnreadableImage
from copycat.data.decoding_loader import DecodingLoader
from copycat.data.lazy_images import LazyImages
from copycat.data.loaders import MemoryLoader
from copycat.data.pixel_cache import MappedImages
from copycat.data.sources.folder import Folder
from tests.support.images import load_folder, stack_images, write_image_folder

SavePicture = Callable[..., Path]
CACHED: dict[str, Any] = {"cache": True, "memory_mb": 0}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))


def cached_files() -> list[Path]:
    return sorted((cache_folder() / "pixels").glob("*.pixels"))


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> Tensor:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(LazyImages, "__getitem__", decode)


@pytest.mark.parametrize("memory_mb", [0, 2048])
def test_the_second_reading_decodes_nothing_and_gives_the_same(
    memory_mb: int, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_folder(pets)["train"]
    first = load_folder(pets, cache=True, memory_mb=memory_mb)["train"]
    forbid_decoding(monkeypatch)
    second = load_folder(pets, cache=True, memory_mb=memory_mb)["train"]
    for part in (first, second):
        assert isinstance(part.images, MappedImages if memory_mb == 0 else Tensor)
        assert torch.equal(stack_images(part), stack_images(expected))
        assert (part.digests, part.names) == (expected.digests, expected.names)
        assert torch.equal(part.labels, expected.labels)


def test_a_changed_file_another_size_and_another_fit_are_decoded_anew(pets: Path, save_picture: SavePicture) -> None:
    load_folder(pets, **CACHED)
    save_picture("pets/cat/a.png", seed=77)
    changed = load_folder(pets, **CACHED)["train"]
    assert torch.equal(stack_images(changed), stack_images(load_folder(pets)["train"]))
    load_folder(pets, image_size=9, **CACHED)
    load_folder(pets, fit="pad", **CACHED)
    assert len(cached_files()) == 4


def test_unreadable_images_are_known_without_decoding(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pets / "cat" / "b.jpeg").write_bytes(b"no image")
    expected = load_folder(pets, on_unreadable="skip")["train"].unreadable
    first = load_folder(pets, on_unreadable="skip", **CACHED)["train"]
    forbid_decoding(monkeypatch)
    second = load_folder(pets, on_unreadable="skip", **CACHED)["train"]
    assert len(first) == len(second) == 4
    assert first.unreadable == second.unreadable == expected
    assert torch.equal(stack_images(first), stack_images(second))
    with pytest.raises(UserError, match=r"1 of 5 files .* can't be read, first cat/b\.jpeg"):
        load_folder(pets, **CACHED)


def test_an_image_that_the_system_refused_is_read_once_it_can_be(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pets / "cat" / "b.jpeg").write_bytes(b"no image")
    opened, calls = LazyImages.__getitem__, list[str]()

    def refuse(images: LazyImages, index: int) -> Tensor:
        calls.append(images.key(index))
        if images.key(index) == "cat/a.png":
            raise UnreadableImage(images.path(index), "Too many open files") from OSError(EMFILE, "Too many open files")
        return opened(images, index)

    monkeypatch.setattr(LazyImages, "__getitem__", refuse)
    for _ in range(2):
        calls.clear()
        assert len(load_folder(pets, on_unreadable="skip", **CACHED)["train"].unreadable) == 2
    assert calls == ["cat/a.png"]  # those that were read are not decoded again
    monkeypatch.setattr(LazyImages, "__getitem__", opened)
    (line,) = load_folder(pets, on_unreadable="skip", **CACHED)["train"].unreadable
    assert line.startswith("cat/b.jpeg: ")


@pytest.mark.parametrize("damage", ["cut", "gone", "no digests"])
def test_a_damaged_cache_is_made_again(damage: str, pets: Path) -> None:
    expected = stack_images(load_folder(pets, **CACHED)["train"])
    (file,) = cached_files()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "gone":
        file.unlink()
    else:
        file.with_suffix(".json").write_text("[]")
    assert torch.equal(stack_images(load_folder(pets, **CACHED)["train"]), expected)


def test_the_least_recently_used_images_make_room(pets: Path) -> None:
    one = 5 * 3 * 8 * 8 / 2**30
    for size in (8, 9, 8, 10):  # 8 is used again before 10 comes
        load_folder(pets, image_size=size, cache_gb=3.4 * one, **CACHED)
        time.sleep(0.02)
    assert sorted(file.stat().st_size for file in cached_files()) == [5 * 3 * 8 * 8, 5 * 3 * 10 * 10]
    with pytest.raises(UserError, match=r"^data\.cache_gb: expected .* or more, for 5 images"):
        load_folder(pets, image_size=64, cache_gb=one, **CACHED)


def test_batches_of_mapped_images_are_those_of_images_in_memory_for_any_part_of_them(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"": 20}, levels=200)
    batches = []
    every: list[dict[str, Any]] = [{}, CACHED, {"memory_mb": 0}]
    for options in every:
        source = Folder(root=str(root), image_size=8, **options)
        data = DataModule(source, fold=1, folds=4, batch_size=7, shuffle=True, seed=3, workers=0)
        loader = data.train_dataloader()
        assert isinstance(loader, DecodingLoader if options == {"memory_mb": 0} else MemoryLoader)
        batches.append([*loader, *data.val_dataloader()])
    for expected, *others in zip(*batches, strict=True):
        for batch in others:
            assert batch.keys() == expected.keys()
            assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_each_image_is_decoded_once_for_two_epochs(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, decode = list[int](), LazyImages.__getitem__

    def count(self: LazyImages, index: int) -> Tensor:
        decoded.append(index)
        return decode(self, index)

    monkeypatch.setattr(LazyImages, "__getitem__", count)
    data = DataModule(Folder(root=str(pets), image_size=8, **CACHED), holdout=0.4, batch_size=2)
    for epoch in range(2):
        data.train_dataloader().batch_sampler.set_epoch(epoch)
        assert sum(len(batch["index"]) for batch in data.train_dataloader()) == 3
    assert sorted(decoded) == [0, 1, 2, 3, 4]


def test_mapped_images_are_pickled_without_their_pixels(pets: Path) -> None:
    images = load_folder(pets, **CACHED)["train"].images
    assert isinstance(images, MappedImages)
    first = images[0]
    content = pickle.dumps(images)
    assert len(content) < 500
    assert torch.equal(pickle.loads(content)[0], first)


PROGRAM = """
import sys, time
from copycat.data.lazy_images import LazyImages
from copycat.data.sources.folder import Folder
decode, decoded = LazyImages.__getitem__, []
def slow(self, index):
    decoded.append(index)
    time.sleep(0.05)
    return decode(self, index)
LazyImages.__getitem__ = slow
print("start", flush=True)
sys.stdin.readline()
Folder(root=sys.argv[1], image_size=8, cache=True, memory_mb=0).load()
print(len(decoded), flush=True)
"""


def start(pets: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(pets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_two_processes_build_the_cache_once(pets: Path) -> None:
    processes = [start(pets), start(pets)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "start\n"
    for process in processes:  # both have imported everything, and begin within a millisecond
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    counts = sorted(int(process.communicate(timeout=60)[0]) for process in processes)
    assert counts == [0, 5]


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_builds_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"": 100}, levels=200)
    with start(root) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list((cache_folder() / "pixels").glob("*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not cached_files()
    part = load_folder(root, **CACHED)["train"]
    assert torch.equal(stack_images(part), stack_images(load_folder(root)["train"]))
    assert not list((cache_folder() / "pixels").glob("*.tmp"))


def test_a_full_disk_is_one_line_and_leaves_no_file(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *rest, **more: real(Path("/dev/full") if self.suffix == ".tmp" else self, *rest, **more),
    )
    with pytest.raises(UserError, match=r"^data\.cache: expected .* no space left on device\. Type data\.cache=false"):
        load_folder(pets, **CACHED)
    assert {file.suffix for file in (cache_folder() / "pixels").iterdir()} <= {".lock"}
