"""Shards, tars and Lance: what a folder was converted to gives the folder's images, whole and damaged."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.encoded_cells import EncodedCells
from copycat.data.pixel_cache import MappedImages
from copycat.data.sources.folder import Folder
from copycat.data.sources.row_table import RowImages
from tests.support.conversions import CONVERTED, convert_folder, load_rows, make_source
from tests.support.images import load_folder, stack_images, write_image_folder
from tests.support.parameters import mark_slow

Options = dict[str, Any]


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> Tensor:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(EncodedCells, "__getitem__", decode)


def damage(folder: Path, content: bytes) -> None:
    """Change one byte within an image, wherever it lies in the files of a data set."""
    for file in folder.rglob("*"):
        if file.is_file() and (place := file.read_bytes().find(content)) >= 0:
            changed = bytearray(file.read_bytes())
            changed[place + len(content) // 2] ^= 0xFF
            file.write_bytes(changed)
            return
    raise AssertionError("no file has the image")


@pytest.mark.parametrize("options", [{}, {"memory_mb": 0}, {"memory_mb": 0, "cache": True}], ids=str)
@pytest.mark.parametrize("form", CONVERTED)
def test_the_rows_are_the_images_of_the_folder(form: str, options: Options, pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows", form=form)
    expected = load_folder(pets, groups=r"(\w)\.")["train"]
    part = load_rows(form, tmp_path / "rows", groups=r"(\w)\.", **options)["train"]
    assert part.digests == expected.digests
    assert part.groups == expected.groups
    assert torch.equal(part.labels, expected.labels)
    assert torch.equal(stack_images(part), stack_images(expected))
    assert part.names == ["a.png", "b.jpeg", "more/c.bmp", "1.png", "2.PNG"]
    kind = MappedImages if "cache" in options else RowImages if "memory_mb" in options else Tensor
    assert isinstance(part.images, kind)


@pytest.mark.parametrize("form", CONVERTED)
def test_parts_groups_and_the_fingerprint_are_kept(form: str, tmp_path: Path) -> None:
    root = write_image_folder(
        tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"train": 5, "val": 2, "test": 3}, levels=200
    )
    convert_folder(root, tmp_path / "rows", form=form, rows=4, groups=r"(\d)\.")
    modules = [
        DataModule(source, split="holdout", holdout=0.4, batch_size=3, seed=1)
        for source in (
            Folder(root=str(root), image_size=8, groups=r"(\d)\."),
            make_source(form, tmp_path / "rows", groups="group", memory_mb=0),
        )
    ]
    assert modules[1].fingerprint() == modules[0].fingerprint()
    for name in ("train", "val", "test"):
        assert modules[1].parts[name].groups == modules[0].parts[name].groups


@pytest.mark.parametrize("form", CONVERTED)
def test_digests_of_the_conversion_spare_the_first_reading(
    form: str, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_folder(pets, tmp_path / "rows", form=form)
    forbid_decoding(monkeypatch)
    part = load_rows(form, tmp_path / "rows", memory_mb=0)["train"]
    assert part.digests == load_folder(pets)["train"].digests
    with pytest.raises(AssertionError, match="was decoded"):  # pixels of another size have other digests
        load_rows(form, tmp_path / "rows", memory_mb=0, image_size=9)


@pytest.mark.parametrize("workers", mark_slow([0, 1, 2], fast=[0, 2]))
@pytest.mark.parametrize("form", mark_slow(CONVERTED, fast=["shards", "webdataset"]))
def test_the_order_is_that_of_the_folder_with_any_number_of_workers(form: str, workers: int, tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"": 12}, levels=200)
    convert_folder(root, tmp_path / "rows", form=form, rows=5)
    batches = []
    for source in (
        Folder(root=str(root), image_size=8, memory_mb=0),
        make_source(form, tmp_path / "rows", memory_mb=0),
    ):
        data = DataModule(source, fold=1, folds=4, batch_size=4, shuffle=True, seed=3, workers=workers)
        loader = data.train_dataloader()
        loader.batch_sampler.set_epoch(2)
        batches.append([*loader])
    seen = torch.cat([batch["index"] for batch in batches[1]]).tolist()
    assert sorted(seen) == list(range(18))
    for expected, batch in zip(*batches, strict=True):
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


@pytest.mark.parametrize("form", CONVERTED)
def test_a_damaged_row_is_named_and_counted(form: str, pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows", form=form)
    damage(tmp_path / "rows", (pets / "cat/b.jpeg").read_bytes())
    options = {
        "memory_mb": 0,
        **({"image_size": 9} if form == "lance" else {}),
    }  # whose digests are not checked at once
    with pytest.raises(UserError, match=r"^data\.root: 1 of 5 images of .* can't be read, first .*\[1\]: b\.jpeg: dam"):
        load_rows(form, tmp_path / "rows", **options)
    source = make_source(form, tmp_path / "rows", on_unreadable="skip", **options)
    part = source.load()["train"]
    assert len(part) == 4
    assert [line.partition(": ")[2] for line in part.unreadable] == [
        "b.jpeg: damaged: its bytes are not those that were converted"
    ]


@pytest.mark.parametrize("how", ["gone", "cut"])
@pytest.mark.parametrize("form", ["shards", "webdataset"])
def test_each_row_of_a_damaged_shard_is_named_and_counted(form: str, how: str, pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows", form=form)
    (shard,) = (tmp_path / "rows").glob("train-00001.[pt]*r*")
    if how == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(UserError, match=r"^data\.root: 2 of 5 images of .* can't be read, first train-00001\.\w+\[0\]"):
        load_rows(form, tmp_path / "rows")
    parts = load_rows(form, tmp_path / "rows", on_unreadable="skip")
    assert parts["train"].names == ["a.png", "b.jpeg", "2.PNG"]
    assert len(parts["train"].unreadable) == 2


@pytest.mark.parametrize("form", ["shards", "webdataset"])
def test_a_damaged_index_is_one_clear_line(form: str, pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows", form=form)
    (tmp_path / "rows/train-00001.json").write_text("{}")
    with pytest.raises(UserError, match=r"^data\.root: train-00001\.json is missing or damaged\. Type copycat"):
        load_rows(form, tmp_path / "rows")


@pytest.mark.parametrize("content", ["[]", "{", '{"schema": 1}', "elsewhere"])
def test_a_damaged_manifest_is_one_clear_line(content: str, pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows")
    manifest = tmp_path / "rows/copycat.json"
    text = manifest.read_text().replace("train-00001", "../train-00001") if content == "elsewhere" else content
    manifest.write_text(text)
    with pytest.raises(UserError, match=r"^data\.root: copycat\.json is damaged\. Type copycat data convert again\."):
        load_rows("shards", tmp_path / "rows")


@pytest.mark.parametrize("form", CONVERTED)
def test_a_wrong_root_or_column_is_one_clear_line(form: str, pets: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.root: "):
        load_rows(form, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^data\.root: .*(has none|can't read)"):
        load_rows(form, pets)
    convert_folder(pets, tmp_path / "rows", form=form)
    with pytest.raises(UserError, match=r"^data\.label_column: expected one of .*label.*; got 'lable'\. Did you mean"):
        load_rows(form, tmp_path / "rows", label_column="lable")
    with pytest.raises(UserError, match=r"^data\.groups: expected one of .*; got 'owner'"):
        load_rows(form, tmp_path / "rows", groups="owner")


@pytest.mark.parametrize(("form", "package"), [("shards", "pyarrow"), ("lance", "lance")])
def test_a_missing_extra_is_one_clear_line(
    form: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.config.extras.find_spec", lambda name: None if name == package else sys)
    with pytest.raises(UserError, match=rf"^data={form}: expected {package}; .* pip install 'copycat-ml\[{form}\]'"):
        load_rows(form, tmp_path)


def test_images_of_several_classes_keep_them(pets: Path, tmp_path: Path, save_picture: Callable[..., Path]) -> None:
    save_picture("pets/dog/both.png", seed=2)  # cat/a.png
    folder = load_folder(pets, multi_label=True)["train"]
    for form in CONVERTED:
        convert_folder(pets, tmp_path / form, form=form, multi_label=True)
        part = load_rows(form, tmp_path / form)["train"]
        assert part.digests == folder.digests
        assert torch.equal(part.labels, folder.labels)
