"""The cache of digests: a mapped file, read in either format."""

import json
from pathlib import Path

import pytest

from copycat.data.digest_cache import OLD_SUFFIX, DigestCache

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
