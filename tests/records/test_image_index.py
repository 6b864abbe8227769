"""images.csv names every image, whatever its name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from copycat.data.datamodule import DataModule
from copycat.data.sources.folder import Folder
from copycat.data.split import Part
from copycat.records.image_index import FILE, ImageRecord, image_changes, index_images, read_images, write_images

NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1)


@dataclass(eq=False)
class Data:
    """What images.csv is made from of a DataModule."""

    parts: dict[str, Part]


def test_groups_have_a_column_which_folders_without_groups_lack(tiny: Path, tmp_path: Path) -> None:
    data = DataModule(Folder(root=str(tiny), image_size=8, groups=r"(.)\.png"), split="official")
    write_images(tmp_path, data)
    assert (tmp_path / FILE).read_text().splitlines()[0] == "part,label,digest,name,group"
    assert read_images(tmp_path) == index_images(data)
    assert {image.group for image in read_images(tmp_path) or []} == set("01234567")
    (tmp_path / "plain").mkdir()
    write_images(tmp_path / "plain", data_of(tiny))
    assert (tmp_path / "plain" / FILE).read_text().splitlines()[0] == "part,label,digest,name"


def data_of(tiny: Path) -> DataModule:
    return DataModule(Folder(root=str(tiny), image_size=8), split="official")


def test_every_image_of_a_set_is_written_and_read_back(tiny: Path, tmp_path: Path) -> None:
    data = data_of(tiny)
    write_images(tmp_path, data)
    found = read_images(tmp_path)
    assert found == index_images(data)
    assert found is not None
    assert len(found) == 24
    assert {image.part for image in found} == {"train", "val"}
    assert found[0].digest == data.parts["train"].digests[0]


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_any_name_of_a_file_reads_back(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    at = tmp_path_factory.mktemp("names")
    count = len(names)
    images, labels = torch.zeros(count, 3, 2, 2, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)
    part = Part(images=images, labels=labels, names=names, digests=["ab"] * count)
    data: Any = Data({"train": part})
    write_images(at, data)
    found = read_images(at)
    assert found is not None
    assert [image.name for image in found] == names


@pytest.mark.parametrize("content", ["", "part,label\n", "part,label,digest,name\ntrain,x,ab,n\n", "\0\0"])
def test_a_damaged_list_counts_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    assert not read_images(tmp_path)


def make_images(*rows: tuple[str, int, str]) -> list[ImageRecord]:
    return [ImageRecord("train", str(label), digest, name) for name, label, digest in rows]


def test_what_changed_is_named_image_by_image() -> None:
    before = make_images(("a", 0, "1"), ("b", 1, "2"), ("c", 0, "3"))
    assert image_changes(before, make_images(("a", 0, "9"), ("b", 1, "2"), ("c", 0, "3"))) == (
        "1 image differs: train: a",
        ["with other pixels"],
    )
    line, details = image_changes(before, make_images(("a", 0, "1"), ("b", 0, "2"), ("d", 0, "3")))
    assert line == "3 images differ: train: b, train: c, train: d"
    assert details == ["train: b, with another label", "train: c, gone", "train: d, new"]
    assert image_changes(before, before[::-1]) == ("the same images in another order", [])


def test_images_of_one_name_in_several_classes_are_told_apart() -> None:
    before = make_images(("0.png", 0, "1"), ("0.png", 1, "2"), ("1.png", 0, "3"))
    assert image_changes(before, make_images(("0.png", 0, "9"), ("0.png", 1, "2"), ("1.png", 0, "3"))) == (
        "1 image differs: train: 0.png",
        ["with other pixels"],
    )
    assert image_changes(before, before[1:]) == ("1 image differs: train: 0.png", ["gone"])
    assert image_changes(before, before[::-1]) == ("the same images in another order", [])


def test_a_name_is_no_formula_where_a_spreadsheet_opens_the_list(tmp_path: Path) -> None:
    names = ["=1+1", "+x", "-x", "@x", "'=x", "x"]
    images, labels = torch.zeros(6, 3, 2, 2, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64)
    data: Any = Data({"train": Part(images=images, labels=labels, names=names, digests=["ab"] * 6)})
    write_images(tmp_path, data)
    cells = [line.rpartition(",")[2] for line in (tmp_path / FILE).read_text().splitlines()[1:]]
    assert cells == ["'=1+1", "'+x", "'-x", "'@x", "''=x", "x"]
    assert [image.name for image in read_images(tmp_path) or []] == names
