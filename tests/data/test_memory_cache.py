"""What a process has read is used again, as long as it is still what the file holds."""

import os
from pathlib import Path

import pytest
import torch

from copycat.data.memory_cache import cached
from copycat.data.split import Part


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_with_age(tmp_path / "set", 3, age=60)
    return tmp_path / "set"


def write_with_age(file: Path, value: int, *, age: float) -> None:
    file.write_bytes(bytes([value]))
    changed = file.stat().st_mtime - age
    os.utime(file, (changed, changed))


def read_part(file: Path) -> Part:
    def fresh() -> list[Part]:
        images = torch.full((1, 3, 2, 2), file.read_bytes()[0], dtype=torch.uint8)
        return [Part(images=images, labels=torch.tensor([0]), names=["a"], digests=["b"])]

    return cached(file, "all", fresh)[0]


def find_maxima(found: Part) -> tuple[int, int]:
    assert isinstance(found.images, torch.Tensor)
    return int(found.images.max()), int(found.labels.max())


def test_a_file_that_stays_is_read_once(file: Path) -> None:
    assert read_part(file) is read_part(file)


def test_a_file_that_changed_is_read_again(file: Path) -> None:
    assert find_maxima(read_part(file))[0] == 3
    write_with_age(file, 4, age=30)
    assert find_maxima(read_part(file))[0] == 4


def test_a_file_that_may_still_be_written_is_not_kept(file: Path) -> None:
    write_with_age(file, 5, age=0)
    assert read_part(file) is not read_part(file)


@pytest.mark.parametrize("field", ["images", "labels"])
def test_what_a_trial_wrote_to_is_read_again_for_the_next(file: Path, field: str) -> None:
    getattr(read_part(file), field).add_(1)
    assert find_maxima(read_part(file)) == (3, 0)
