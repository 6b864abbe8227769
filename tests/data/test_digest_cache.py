"""The cache of digests: a mapped file, read in either format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image
from torch import Tensor

from copycat.data import digest_cache
from copycat.data.digest_cache import OLD_SUFFIX, DigestCache
from copycat.data.lazy_images import Stamp

T = TypeVar("T")

DIGESTS = [f"{number:032x}" for number in range(50)]


def make(root: str = "root") -> DigestCache:
    return DigestCache(root, 8, "crop")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))


def fill(names: range) -> None:
    cache = make()
    for number in names:
        cache.add(f"{number}.png", (number, 7), DIGESTS[number])
    cache.save()


def test_digests_are_found_again_by_name_and_stamp() -> None:
    fill(range(40))
    fill(range(30, 50))  # some again: each is kept once
    cache = make()
    assert [cache.find(f"{number}.png", (number, 7)) for number in range(50)] == DIGESTS
    assert cache.find("7.png", (7, 8)) is cache.find("x.png", (7, 7)) is cache.find("7.png", None) is None
    assert make("another").find("7.png", (7, 7)) is None
    assert cache.path.stat().st_size == 32 + 32 * 50


class Files:
    """Images named by their numbers, of which every fifth changed and every seventh is gone."""

    shape = (70, 3, 8, 8)

    def __getitem__(self, index: int) -> Tensor:
        raise NotImplementedError

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        raise NotImplementedError

    def key(self, index: int) -> str:
        return f"{index}.png"

    def stamp(self, index: int) -> Stamp | None:
        return None if index % 7 == 6 else (index, 8 if index % 5 == 4 else 7)

    def may_have_changed(self, index: int) -> bool:
        raise NotImplementedError


def test_digests_of_many_are_those_of_each() -> None:
    assert not make().find_all(Files(), 70)[1].any()
    fill(range(50))
    cache = make()
    digests, is_found = cache.find_all(Files(), 70)
    each = [cache.find(f"{number}.png", Files().stamp(number)) for number in range(70)]
    assert [digest.tobytes().hex() if found else None for digest, found in zip(digests, is_found, strict=True)] == each
    assert is_found.sum() == sum(number % 7 != 6 and number % 5 != 4 for number in range(50))


def test_on_a_slow_disk_the_rest_is_left_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(range(50))
    monkeypatch.setattr(digest_cache, "QUICK_FILES", 10)
    monkeypatch.setattr(digest_cache, "QUICK_SECONDS", -1.0)
    is_found = make().find_all(Files(), 70)[1]
    assert is_found[:10].sum() == 7
    assert not is_found[10:].any()


def test_a_cache_without_new_digests_is_not_written() -> None:
    fill(range(3))
    path = make().path
    path.chmod(0o400)
    before = path.stat().st_ino
    make().save()
    assert path.stat().st_ino == before


def test_a_cache_of_an_earlier_version_is_read_and_rewritten() -> None:
    path = make().path
    path.parent.mkdir(parents=True)
    old = {f"{number}.png": (number, 7, DIGESTS[number]) for number in range(5)}
    path.with_suffix(OLD_SUFFIX).write_text(json.dumps(old))
    cache = make()
    assert [cache.find(f"{number}.png", (number, 7)) for number in range(5)] == DIGESTS[:5]
    cache.save()
    path.with_suffix(OLD_SUFFIX).unlink()
    assert [make().find(f"{number}.png", (number, 7)) for number in range(5)] == DIGESTS[:5]


@pytest.mark.parametrize("damage", [b"", b"short", "cut", "flip"])
def test_a_damaged_cache_is_ignored(damage: bytes | str) -> None:
    fill(range(9))
    path = make().path
    content = path.read_bytes()
    flipped = content[:40] + bytes([content[40] ^ 1]) + content[41:]
    path.write_bytes(damage if isinstance(damage, bytes) else content[:-5] if damage == "cut" else flipped)
    assert make().find("7.png", (7, 7)) is None
    fill(range(9))
    assert make().find("7.png", (7, 7)) == DIGESTS[7]


def test_names_that_are_not_utf8_have_digests_too() -> None:
    cache = make()
    cache.add("\udcff.png", (1, 2), DIGESTS[1])
    cache.save()
    assert make().find("\udcff.png", (1, 2)) == DIGESTS[1]
