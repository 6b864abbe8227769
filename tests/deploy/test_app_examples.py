"""The example images of `copycat app`: a run's own validation images, and no other files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from copycat.data.decode import decode
from copycat.deploy.app_examples import MAX_EXAMPLES, find_examples
from copycat.records.image_index import read_images
from copycat.records.run_loader import Opened, open_run
from copycat.training.components import build_data
from tests.support.images import write_image_folder
from tests.support.runs import QUIET, compose_quickly, train_tiny

MAX_PIXELS = 50_000_000


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes, parts = {"dog": 0, "cat": 60}, {"train": 4, "val": 3}
    return write_image_folder(tmp_path_factory.mktemp("images"), classes=classes, parts=parts, levels=180)


@pytest.fixture(scope="module")
def opened(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_run(train_tiny("trainer.max_epochs=1", *QUIET, data=images, at=tmp_path_factory.mktemp("runs")).folder)


def test_each_class_in_turn_gives_the_files_of_its_validation_images(opened: Opened, images: Path) -> None:
    found = find_examples(opened, max_pixels=MAX_PIXELS)
    assert [example.label for example in found] == ["cat", "dog"] * 3
    for example in found:
        assert example.content == images / "val" / example.label / example.name
        assert example.read() == example.content.read_bytes()


def test_examples_of_a_table_are_the_files_beside_it_and_no_others(
    opened: Opened, images: Path, tmp_path: Path
) -> None:
    table = {"_target_": "copycat.data.sources.csv_images.CsvImages", "file": str(images / "table.csv"), "root": None}
    of_table = replace(opened, config={**opened.config, "data": table})
    assert [example.label for example in find_examples(of_table, max_pixels=MAX_PIXELS)] == ["cat", "dog"] * 3
    elsewhere = {**table, "file": str(tmp_path / "table.csv")}
    shutil.copytree(images, tmp_path / "val")
    assert (
        list(find_examples(replace(opened, config={**opened.config, "data": elsewhere}), max_pixels=MAX_PIXELS)) == []
    )


def test_an_image_that_is_gone_too_large_or_elsewhere_is_left_out(opened: Opened, images: Path, tmp_path: Path) -> None:
    root = tmp_path / "images"
    shutil.copytree(images, root)
    (root / "val" / "cat" / "0.png").unlink()
    (root / "val" / "cat" / "1.png").unlink()
    (root / "val" / "cat" / "1.png").symlink_to(images / "val" / "cat" / "1.png")
    (root / "val" / "dog" / "2.png").write_bytes(b"no image")
    moved = replace(opened, config={**opened.config, "data": {**opened.config["data"], "root": str(root)}})
    found = find_examples(moved, max_pixels=MAX_PIXELS)
    assert sorted(f"{example.label}/{example.name}" for example in found) == ["cat/2.png", "dog/0.png", "dog/1.png"]
    assert find_examples(moved, max_pixels=63) == []


def test_a_run_whose_images_are_gone_has_no_examples(opened: Opened, tmp_path: Path) -> None:
    gone = replace(opened, config={**opened.config, "data": {**opened.config["data"], "root": str(tmp_path / "gone")}})
    assert list(find_examples(gone, max_pixels=MAX_PIXELS)) == []


def test_examples_of_another_source_decode_to_its_own_pixels(opened: Opened, tmp_path: Path) -> None:
    config = compose_quickly(["data=drawn", "data.train=2", "data.val=3"]).config
    assert read_images(opened.folder)
    drawn = replace(opened, config={**opened.config, "data": config["data"], "seed": 0})
    found = find_examples(drawn, max_pixels=MAX_PIXELS)
    part = build_data(config["data"], seed=0).parts["val"]
    assert 0 < len(found) == min(len(part), MAX_EXAMPLES)
    for example in found:
        file = tmp_path / "example"
        file.write_bytes(example.read())
        place = part.names.index(example.name)
        assert torch.equal(decode(file, size=part.images.shape[-1]), part.images[place])
