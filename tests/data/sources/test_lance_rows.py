"""Data sets of Lance that other programs wrote, and conversions to Lance."""

from pathlib import Path

import lance
import pyarrow as pa
import pytest
import torch

from copycat.config.errors import UserError
from tests.support.conversions import convert_folder, load_rows, make_source
from tests.support.images import load_folder, stack_images

FILES = ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]


def write_lance(pets: Path, to: Path) -> Path:
    content = [(pets / file).read_bytes() for file in FILES]
    labels = [file.partition("/")[0] for file in FILES]
    table = pa.table({"photo": content, "species": labels, "weight": [1.0] * 5, "owner": [1, 2, 1, 2, 1]})
    lance.write_dataset(table, to, max_rows_per_file=2)
    return to


def test_rows_are_those_of_the_folder_and_columns_are_found(pets: Path, tmp_path: Path) -> None:
    root = write_lance(pets, tmp_path / "pets.lance")
    expected = load_folder(pets)["train"]
    for options in ({}, {"memory_mb": 0}):
        part = load_rows("lance", root, groups="owner", **options)["train"]
        assert part.digests == expected.digests
        assert torch.equal(part.labels, expected.labels)
        assert torch.equal(stack_images(part), stack_images(expected))
        assert part.groups == ["1", "2", "1", "2", "1"]


def test_the_version_that_was_listed_is_read_even_if_rows_are_deleted_then(pets: Path, tmp_path: Path) -> None:
    root = write_lance(pets, tmp_path / "pets.lance")
    part = load_rows("lance", root, memory_mb=0)["train"]
    expected = stack_images(load_folder(pets)["train"])
    lance.dataset(root).delete("species = 'cat'")
    assert torch.equal(stack_images(part), expected)


def test_a_conversion_does_not_touch_another_data_set(pets: Path, tmp_path: Path) -> None:
    write_lance(pets, tmp_path / "foreign")
    convert_folder(pets, tmp_path / "other", form="lance")
    (pets / "cat/a.png").rename(pets / "cat/z.png")
    for name in ("foreign", "other"):
        with pytest.raises(UserError, match=r"^data convert: expected a new folder; .* has another data set"):
            convert_folder(pets, tmp_path / name, form="lance")
    assert len(make_source("lance", tmp_path / "other").load()["train"]) == 5


def test_a_damaged_data_set_is_one_clear_line(pets: Path, tmp_path: Path) -> None:
    root = write_lance(pets, tmp_path / "pets.lance")
    for file in (root / "data").iterdir():
        file.write_bytes(b"cut")
    with pytest.raises(UserError, match=r"^data\.root: Lance can't read .*pets\.lance: "):
        load_rows("lance", root)
