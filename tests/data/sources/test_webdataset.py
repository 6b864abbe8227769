"""Tars in the format of WebDataset that other programs wrote, and the index of their offsets."""

import json
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest
import torch

from copycat.config.errors import UserError
from copycat.config.places import cache_folder
from copycat.data.sources import tar_index
from tests.support.conversions import load_rows, make_source
from tests.support.images import load_folder, stack_images

FILES = ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path.parent


def members_of(pets: Path, *rows: int, describe: str = "cls") -> dict[str, bytes]:
    members = {}
    for row in rows:
        name, label = FILES[row], FILES[row].partition("/")[0]
        about = {"cls": label, "json": json.dumps({"species": label, "owner": f"o{row % 2}", "size": [8, 8]})}
        members[f"{row:04d}{Path(name).suffix}"] = (pets / name).read_bytes()
        members[f"{row:04d}.{describe}"] = about[describe].encode()
    return members


def forbid_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> object:
        raise AssertionError("a tar was scanned")

    monkeypatch.setattr(tar_index, "scan_tar", scan)


@pytest.mark.parametrize("describe", ["cls", "json"])
def test_samples_are_those_of_the_folder_in_the_order_of_the_tars(describe: str, pets: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "tars/b.tar", members_of(pets, 2, 3, 4, describe=describe))
    root = write_tar(tmp_path / "tars/a.tar", members_of(pets, 0, 1, describe=describe))
    expected = load_folder(pets)["train"]
    for options in ({}, {"memory_mb": 0}):
        part = load_rows("webdataset", root, **options)["train"]
        assert part.digests == expected.digests
        assert torch.equal(part.labels, expected.labels)
        assert torch.equal(stack_images(part), stack_images(expected))
        assert part.names == ["0000.png", "0001.jpeg", "0002.bmp", "0003.png", "0004.png"]
    if describe == "json":
        assert load_rows("webdataset", root, groups="owner")["train"].groups == ["o0", "o1", "o0", "o1", "o0"]


def test_the_index_is_made_once_and_again_when_a_tar_has_changed(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tar(tmp_path / "tars/a.tar", members_of(pets, 0, 1, 3))
    first = load_rows("webdataset", root)["train"]
    assert len(list((cache_folder() / "tars").glob("*.json"))) == 1
    with monkeypatch.context() as within:
        forbid_scans(within)
        assert load_rows("webdataset", root)["train"].digests == first.digests
    write_tar(tmp_path / "tars/a.tar", members_of(pets, 4, 2, 0))
    assert load_rows("webdataset", root)["train"].digests != first.digests
    for damaged in ("{}", "[", '{"stamp": [1, 2]}'):
        (index,) = (cache_folder() / "tars").glob("*.json")
        index.write_text(damaged)
        assert len(load_rows("webdataset", root)["train"]) == 3


def test_samples_without_an_image_are_left_out_and_the_ending_may_be_stated(pets: Path, tmp_path: Path) -> None:
    members = members_of(pets, 0, 3)
    members |= {"0008.cls": b"cat", "0009.seg.png": (pets / FILES[4]).read_bytes(), "0009.cls": b"dog"}
    root = write_tar(tmp_path / "tars/a.tar", members)
    source = make_source("webdataset", root)
    assert len(source.load()["train"]) == 3
    assert [str(one) for one in source.left_out] == ["a.tar: samples without an image"]
    source = make_source("webdataset", root, image_column="png")
    assert source.load()["train"].names == ["0000.png", "0003.png"]
    assert [one.files for one in source.left_out] == [2]


def test_a_cut_tar_stops_or_is_read_as_far_as_it_goes(pets: Path, tmp_path: Path) -> None:
    root = write_tar(tmp_path / "tars/a.tar", members_of(pets, 0, 1, 2, 3))
    (root / "b.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(UserError, match=r"^data\.root: b\.tar of .* is damaged: .* data\.on_unreadable=skip\."):
        load_rows("webdataset", root)
    source = make_source("webdataset", root, on_unreadable="skip")
    assert len(source.load()["train"]) == 4
    assert [one.name for one in source.left_out] == ["b.tar"]


def test_no_label_is_one_clear_line(pets: Path, tmp_path: Path) -> None:
    members = {name: content for name, content in members_of(pets, 0, 3).items() if not name.endswith("cls")}
    with pytest.raises(UserError, match=r"^data\.label_column: expected the column of the class names; .* has none of"):
        load_rows("webdataset", write_tar(tmp_path / "tars/a.tar", members))
