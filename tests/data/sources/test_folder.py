"""Folders of one's own images, whole and spoilt."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copycat.config.errors import UserError
from copycat.data.decode import decode
from copycat.data.sources.folder import Folder
from copycat.data.split import Source, digest
from tests.support.images import load_folder, stack_images

SavePicture = Callable[..., Path]


# ----- what is read


def test_classes_are_the_sub_folders_by_name_and_images_come_in_order(pets: Path) -> None:
    source = Folder(root=str(pets), image_size=8)
    parts = source.load()
    assert list(source.classes) == ["cat", "dog"]
    assert list(parts) == ["train"]
    assert list(parts["train"].names) == ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]
    assert parts["train"].labels.tolist() == [0, 0, 0, 1, 1]
    assert parts["train"].labels.dtype == torch.int64


def test_images_are_the_pictures_pixels_and_digests_are_theirs(pets: Path) -> None:
    part = load_folder(pets)["train"]
    assert isinstance(part.images, torch.Tensor)
    assert part.images.is_contiguous()
    first = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)  # cat/a.png was saved third
    assert np.array_equal(part.images[0].numpy(), first.transpose(2, 0, 1))
    assert list(part.digests) == [digest(image) for image in part.images]
    assert len(set(part.digests)) == 5


def test_a_copy_of_a_picture_has_the_same_digest(pets: Path) -> None:
    (pets / "dog" / "twin.png").write_bytes((pets / "cat" / "a.png").read_bytes())
    part = load_folder(pets)["train"]
    digests = dict(zip(part.names, part.digests, strict=True))
    assert digests["dog/twin.png"] == digests["cat/a.png"]


def test_an_image_in_the_folders_of_several_classes_has_all_of_them(pets: Path) -> None:
    shutil.copy(pets / "cat" / "a.png", pets / "dog" / "friend.png")
    part = load_folder(pets, multi_label=True)["train"]
    assert list(part.names) == ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]
    assert part.labels.tolist() == [[1, 1], [1, 0], [1, 0], [0, 1], [0, 1]]


def test_an_image_in_the_folders_of_several_classes_connects_its_groups_in_all_parts(save_picture: SavePicture) -> None:
    for seed, name in enumerate(["train/cat/rosa_1", "train/dog/rex_2", "train/dog/max_1", "test/cat/rex_3"]):
        root = save_picture(f"pets/{name}.png", seed=seed).parents[2]
    save_picture("pets/test/dog/max_2.png", seed=9)
    shutil.copy(root / "train/cat/rosa_1.png", root / "train/dog/rex_1.png")
    parts = load_folder(root, multi_label=True, groups="(.*)_")
    assert dict(zip(parts["train"].names, parts["train"].groups or (), strict=True)) == {
        "train/cat/rosa_1.png": "rosa",
        "train/dog/max_1.png": "max",
        "train/dog/rex_2.png": "rosa",
    }
    assert parts["test"].groups == ["rosa", "max"]


def test_more_than_two_classes_are_numbered_in_order(pets: Path, save_picture: SavePicture) -> None:
    save_picture("pets/bird/a.png")
    save_picture("pets/zebra/a.png")
    source = Folder(root=str(pets), image_size=8)
    assert source.load()["train"].labels.tolist() == [0, 1, 1, 1, 2, 2, 3]
    assert list(source.classes) == ["bird", "cat", "dog", "zebra"]


def test_size_and_fit_reach_the_decoder(pets: Path, save_picture: SavePicture) -> None:
    wide = save_picture("pets/cat/0.png", size=(40, 20))
    for fit in ("crop", "squash", "pad"):
        part = load_folder(pets, image_size=12, fit=fit)["train"]
        assert torch.equal(part.images[0], decode(wide, size=12, fit=fit))


def test_a_folder_is_a_source_of_photographs(pets: Path) -> None:
    source: Source = Folder(root=str(pets))
    assert source.synthetic is False
    assert tuple(source.load()["train"].images.shape) == (5, 3, 64, 64)


@pytest.mark.parametrize("memory_mb", [2048, 0])
def test_names_that_are_not_utf8_become_text_and_their_files_are_read(
    pets: Path, save_picture: SavePicture, memory_mb: int
) -> None:
    ant = Path(os.fsdecode(os.fsencode(pets) + b"/\xe4nt"))
    ant.mkdir()
    save_picture("pets/0.png", seed=7).rename(ant / os.fsdecode(b"\xfc.png"))
    source = Folder(root=str(pets), image_size=8, memory_mb=memory_mb)
    part = source.load()["train"]
    assert source.classes[2] == r"\xe4nt"
    assert part.names[-1] == r"\xe4nt/\xfc.png"
    assert digest(part.images[5]) == part.digests[5]
    json.dumps([list(source.classes), list(part.names)], ensure_ascii=False).encode()


def test_a_root_that_is_not_utf8_is_refused_with_a_way_out() -> None:
    with pytest.raises(UserError, match=r"data\.root: expected a path in UTF-8; got /a/\\xe4\. Type a link to it"):
        Folder(root=os.fsdecode(b"/a/\xe4"))


# ----- mistakes


def test_a_part_of_a_megabyte_is_refused(pets: Path) -> None:
    with pytest.raises(UserError, match=r"data\.memory_mb: expected a whole number >= 0; got 0\.5"):
        load_folder(pets, memory_mb=0.5)


# ----- unreadable files


@pytest.fixture
def spoilt(pets: Path) -> Path:
    (pets / "cat" / "empty.jpg").write_bytes(b"")
    (pets / "dog" / "0.jpg").write_bytes(b"<html>404</html>")
    return pets


@pytest.mark.parametrize("memory_mb", [2048, 0])
def test_unreadable_files_stop_with_their_number_and_the_first_name(spoilt: Path, memory_mb: int) -> None:
    with pytest.raises(
        UserError, match=r"2 of 7 files .* first cat/empty\.jpg: empty file\..*data\.on_unreadable=skip"
    ):
        load_folder(spoilt, memory_mb=memory_mb)


@pytest.mark.parametrize("memory_mb", [2048, 0])
def test_skipped_files_are_left_out_and_listed(spoilt: Path, memory_mb: int) -> None:
    part = load_folder(spoilt, on_unreadable="skip", memory_mb=memory_mb)["train"]
    assert list(part.unreadable) == ["cat/empty.jpg: empty file", "dog/0.jpg: a web page, not an image"]
    assert list(part.names) == ["cat/a.png", "cat/b.jpeg", "cat/more/c.bmp", "dog/1.png", "dog/2.PNG"]
    assert part.labels.tolist() == [0, 0, 0, 1, 1]
    assert [digest(image) for image in stack_images(part)] == list(part.digests)


def test_a_class_whose_files_are_all_unreadable_is_refused_even_when_skipping(pets: Path) -> None:
    for file in (pets / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"no image of dog in train can be read, first dog/1\.png: empty file"):
        load_folder(pets, on_unreadable="skip")


# ----- images of many pixels


@pytest.mark.parametrize("memory_mb", [2048, 0])
def test_a_key_sets_how_large_images_may_be(
    pets: Path, save_picture: SavePicture, memory_mb: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    save_picture("pets/cat/0.png", size=(30, 30))
    with pytest.raises(UserError, match=r"above the limit of 100 pixels.*data\.max_megapixels=NUMBER"):
        load_folder(pets, memory_mb=memory_mb)
    part = load_folder(pets, memory_mb=memory_mb, max_megapixels=900e-6)["train"]
    assert digest(part.images[0]) == part.digests[0]
    with pytest.raises(UserError, match=r"30 x 30 pixels, above the limit of 899\."):
        load_folder(pets, memory_mb=memory_mb, max_megapixels=899e-6)
