"""Folders of one's own images, whole and spoilt."""

import json
import os
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from copycat.config.errors import UserError
from copycat.data import parallel_map
from copycat.data.datamodule import DataModule
from copycat.data.decode import decode
from copycat.data.lazy_images import LazyImages
from copycat.data.quality import check_data
from copycat.data.sources import folder as folder_module
from copycat.data.sources.folder import Folder
from copycat.data.sources.folder_scan import find_images
from copycat.data.split import Decoder, Part, Source, digest

SavePicture = Callable[..., Path]


@pytest.fixture
def pets(save_picture: SavePicture, tmp_path: Path) -> Path:
    """Two dogs and three cats, one of them in a sub-folder, each image another noise."""
    for seed, name in enumerate(["dog/1.png", "dog/2.PNG", "cat/a.png", "cat/b.jpeg", "cat/more/c.bmp"]):
        save_picture(f"pets/{name}", seed=seed)
    return tmp_path / "pets"


def load_folder(root: Path, **options: object) -> dict[str, Part]:
    return dict(Folder(root=str(root), **{"image_size": 8, **options}).load())  # type: ignore[arg-type]


def stack_images(part: Part) -> torch.Tensor:
    return torch.stack([part.images[index] for index in range(len(part))])


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


def test_hidden_files_and_other_files_are_passed_over(pets: Path, save_picture: SavePicture) -> None:
    save_picture("pets/cat/.hidden.png")
    save_picture("pets/.thumbnails/a.png")
    for name in ("cat/notes.txt", "cat/.DS_Store", "dog/Thumbs.db", "dog/labels.h5", "README.md"):
        (pets / name).write_text("words")
    assert len(load_folder(pets)["train"]) == 5


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


# ----- parts


@pytest.mark.parametrize(
    "names",
    [
        {"train": "train", "val": "val"},
        {"train": "train", "val": "val", "test": "test"},
        {"train": "train", "test": "test"},
        {"train": "Train", "val": "valid"},
        {"train": "Training", "test": "Testing"},
        {"train": "TRAIN_SET", "val": "dev-set", "test": "test images"},
        {"train": "training"},
    ],
)
def test_folders_of_parts_are_the_official_parts(
    save_picture: SavePicture, tmp_path: Path, names: dict[str, str]
) -> None:
    for seed, name in enumerate(names.values()):
        for label in ("cat", "dog"):
            save_picture(f"set/{name}/{label}/a.png", seed=seed)
    parts = load_folder(tmp_path / "set")
    assert list(parts) == list(names)
    for part, name in names.items():
        assert list(parts[part].names) == [f"{name}/cat/a.png", f"{name}/dog/a.png"]
        assert parts[part].labels.tolist() == [0, 1]


def test_two_folders_of_one_part_are_refused(save_picture: SavePicture, tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "Training/cat", "test/cat"):
        save_picture(f"set/{name}/a.png")
    with pytest.raises(UserError, match=r"expected one folder of train in .*set; got Training, train\. Rename one"):
        load_folder(tmp_path / "set")


def test_a_class_that_another_part_lacks_keeps_its_label(save_picture: SavePicture, tmp_path: Path) -> None:
    for name in ("train/ant", "train/bee", "train/cow", "val/ant", "val/cow"):
        save_picture(f"set/{name}/a.png")
    parts = load_folder(tmp_path / "set")
    assert parts["val"].labels.tolist() == [0, 2]


def test_classes_with_the_same_sub_folders_are_a_warning(save_picture: SavePicture, tmp_path: Path) -> None:
    for name in ("2024/cat", "2024/dog", "2025/cat", "2025/dog"):
        save_picture(f"set/{name}/a.png")
    source = Folder(root=str(tmp_path / "set"), image_size=8)
    source.load()
    assert list(source.classes) == ["2024", "2025"]
    assert list(source.warnings) == [
        "all classes, 2024, 2025, have the same sub-folders, cat, dog: are those the classes?"
    ]


# ----- what is left out


def test_every_file_that_is_left_out_is_counted_and_named(pets: Path, save_picture: SavePicture) -> None:
    for name in ("cat/@eaDir/a.png", "cat/@eaDir/more/b.png", "__MACOSX/cat/a.png", "dog/.thumbnails/a.png", "a.png"):
        save_picture(f"pets/{name}")
    for name in ("cat/a.jxl", "dog/notes.txt", "dog/Makefile", "cat/.DS_Store"):
        (pets / name).write_text("words")
    source = Folder(root=str(pets), image_size=8)
    assert len(source.load()["train"]) == 5
    assert {str(one) for one in source.left_out} == {
        "a.png: in no class's folder",
        "__MACOSX: of an operating system",
        "cat/@eaDir: of an operating system, 2 files",
        "dog/.thumbnails: hidden",
        "cat/.DS_Store: hidden",
        "cat/a.jxl: JPEG XL is not read, save it as PNG",
        "dog/notes.txt: no image",
        "dog/Makefile: no image",
    }
    warnings = check_data(DataModule(source)).warnings
    assert "3 left out, of an operating system: __MACOSX" in warnings
    assert "1 left out, JPEG XL is not read, save it as PNG: cat/a.jxl" in warnings


def test_folders_beside_those_of_parts_are_left_out_and_named(save_picture: SavePicture, tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "test/dog", "more/cat"):
        save_picture(f"set/{name}/a.png")
    save_picture("set/train/b.png")
    source = Folder(root=str(tmp_path / "set"), image_size=8)
    source.load()
    assert [str(one) for one in source.left_out] == [
        "more: beside the folders of train and other parts",
        "train/b.png: in no class's folder",
    ]


def test_a_file_without_an_ending_is_known_by_its_content(pets: Path, save_picture: SavePicture) -> None:
    save_picture("pets/cat/0.png").rename(pets / "cat" / "0")
    assert load_folder(pets)["train"].names[0] == "cat/0"
    assert pets / "cat" / "0" in find_images(pets)


def test_heic_is_named_with_what_reads_it_or_is_read(pets: Path) -> None:
    (pets / "cat" / "a.heic").write_bytes(b"")
    source = Folder(root=str(pets), image_size=8, on_unreadable="skip")
    part = source.load()["train"]
    named = [*part.unreadable, *map(str, source.left_out)]
    expected = "HEIC needs pip install 'copycat-ml[heic]'" if find_spec("pillow_heif") is None else "empty file"
    assert named == [f"cat/a.heic: {expected}"]


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


def test_parts_with_other_classes_are_refused(save_picture: SavePicture, tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/wolf"):
        save_picture(f"set/{name}/a.png")
    with pytest.raises(UserError, match=r"same classes in every part.*train has cat, dog, but .*val has cat, wolf"):
        load_folder(tmp_path / "set")


def test_parts_without_class_folders_are_not_taken_for_classes(save_picture: SavePicture, tmp_path: Path) -> None:
    save_picture("set/train/cat.1.png")
    save_picture("set/test/1.png")
    with pytest.raises(UserError, match=r"expected a sub-folder a class, two or more, in .*train; got no sub-folder"):
        load_folder(tmp_path / "set")


# ----- mistakes


def test_a_root_that_is_not_there_or_a_file_is_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    with pytest.raises(UserError, match=r"expected a folder; .*none is not there\. Type data\.root=FOLDER"):
        load_folder(tmp_path / "none")
    with pytest.raises(UserError, match=r"a\.png is a file"):
        load_folder(save_picture("a.png"))


def test_fewer_than_two_classes_are_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture("set/a.png")
    with pytest.raises(UserError, match=r"two or more, in .*; got no sub-folder"):
        load_folder(tmp_path / "set")
    save_picture("set/cat/a.png")
    with pytest.raises(UserError, match=r"two or more, in .*; got only cat"):
        load_folder(tmp_path / "set")


def test_a_sub_folder_without_images_is_no_class_and_a_warning_names_it(pets: Path) -> None:
    (pets / "ferret").mkdir()
    (pets / "ferret" / "words.txt").write_text("later")
    source = Folder(root=str(pets), image_size=8)
    assert source.load()["train"].labels.tolist() == [0, 0, 0, 1, 1]
    assert list(source.classes) == ["cat", "dog"]
    assert list(source.warnings) == ["no image in ferret: it is no class"]


def test_one_class_with_images_is_refused_with_what_the_others_hold(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture("set/cat/a.png")
    (tmp_path / "set" / "dog").mkdir()
    (tmp_path / "set" / "ferret").mkdir()
    (tmp_path / "set" / "ferret" / "a.xyz").write_bytes(b"")
    with pytest.raises(UserError, match=r"in two or more sub-folders of .*set; dog has nothing, ferret has 1 \.xyz"):
        load_folder(tmp_path / "set")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"fit": "stretch"}, r"data\.fit: expected one of crop, squash, pad; got 'stretch'"),
        ({"on_unreadable": "ignore"}, r"data\.on_unreadable: expected one of stop, skip; got 'ignore'"),
        ({"image_size": 0}, r"data\.image_size: expected a whole number >= 1; got 0"),
        ({"image_size": "64"}, r"data\.image_size: expected a whole number >= 1; got '64'"),
        ({"memory_mb": -1}, r"data\.memory_mb: expected a whole number >= 0; got -1"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_right_ones(pets: Path, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_folder(pets, **options)


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


# ----- links


def test_links_that_lead_back_neither_hang_nor_bring_other_classes(pets: Path) -> None:
    (pets / "cat" / "self").symlink_to(pets / "cat")
    (pets / "cat" / "up").symlink_to(pets)
    (pets / "dog" / "far").symlink_to(pets.anchor)
    assert len(load_folder(pets)["train"]) == 5


def test_a_class_may_be_a_link_to_a_folder_elsewhere(pets: Path, save_picture: SavePicture, tmp_path: Path) -> None:
    save_picture("elsewhere/1.png")
    (pets / "bird").symlink_to(tmp_path / "elsewhere")
    assert load_folder(pets)["train"].names[0] == "bird/1.png"


def test_a_link_to_nothing_counts_as_unreadable(pets: Path) -> None:
    (pets / "cat" / "gone.png").symlink_to(pets / "nowhere.png")
    part = load_folder(pets, on_unreadable="skip")["train"]
    assert list(part.unreadable) == ["cat/gone.png: No such file or directory"]


# ----- sets that don't fit in memory


def test_a_set_above_memory_is_decoded_on_demand_with_the_same_pixels(pets: Path) -> None:
    small, large = load_folder(pets)["train"], load_folder(pets, memory_mb=0)["train"]
    assert isinstance(large.images, LazyImages)
    assert isinstance(large.images, Decoder)
    assert tuple(large.images.shape) == (5, 3, 8, 8)
    assert torch.equal(stack_images(large), stack_images(small))
    assert (large.digests, large.names) == (small.digests, small.names)
    assert torch.equal(large.labels, small.labels)


def test_the_border_between_memory_and_demand_is_the_bytes_of_all_parts(
    save_picture: SavePicture, tmp_path: Path
) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        save_picture(f"set/{name}/a.png")
    side = 296  # 4 * 3 * 296² is just above a mebibyte, 4 * 3 * 295² just below
    assert isinstance(load_folder(tmp_path / "set", image_size=side, memory_mb=1)["train"].images, LazyImages)
    assert isinstance(load_folder(tmp_path / "set", image_size=side - 1, memory_mb=1)["val"].images, torch.Tensor)


def test_images_on_demand_survive_another_process_and_another_folder(
    pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    images = load_folder(Path("pets"), memory_mb=0)["train"].images
    monkeypatch.chdir("/")
    assert torch.equal(pickle.loads(pickle.dumps(images))[4], images[4])
    loader: DataLoader[torch.Tensor] = DataLoader(images, batch_size=5, num_workers=1)  # type: ignore[arg-type]
    assert torch.equal(next(iter(loader)), stack_images(load_folder(pets)["train"]))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that the folder decodes from now on."""
    names: list[str] = []

    def recording(path: Path, **options: Any) -> torch.Tensor:
        names.append(path.name)
        return decode(path, **options)

    monkeypatch.setattr(folder_module, "decode", recording)
    return names


def test_digests_are_worked_out_once_and_again_only_for_a_changed_file(pets: Path, decoded: list[str]) -> None:
    first = load_folder(pets, memory_mb=0)["train"].digests
    assert len(decoded) == 5
    decoded.clear()
    assert load_folder(pets, memory_mb=0)["train"].digests == first
    assert decoded == []
    (pets / "dog" / "1.png").write_bytes((pets / "cat" / "a.png").read_bytes())
    second = load_folder(pets, memory_mb=0)["train"].digests
    assert decoded == ["1.png"]
    assert second[3] == second[0] != first[3]


def test_another_size_or_fit_has_digests_of_its_own(pets: Path, decoded: list[str]) -> None:
    load_folder(pets, memory_mb=0)
    load_folder(pets, memory_mb=0, fit="pad")
    load_folder(pets, memory_mb=0, image_size=9)
    assert len(decoded) == 15


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"cat/a.png": 3}', b"\xff\xfe", b"null"])
def test_a_damaged_cache_is_ignored_and_mended(pets: Path, own_cache: Path, decoded: list[str], damage: bytes) -> None:
    first = load_folder(pets, memory_mb=0)["train"].digests
    (file,) = (own_cache / "digests").iterdir()
    file.write_bytes(damage)
    assert load_folder(pets, memory_mb=0)["train"].digests == first
    decoded.clear()
    load_folder(pets, memory_mb=0)
    assert decoded == []
    assert list((own_cache / "digests").iterdir()) == [file]


def test_a_cache_that_cannot_be_written_only_costs_time(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "file" / "cache"))
    assert len(load_folder(pets, memory_mb=0)["train"]) == 5


def test_an_interrupted_first_pass_keeps_what_it_has(
    pets: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, **options: Any) -> torch.Tensor:
        if path.name == "2.PNG":
            raise KeyboardInterrupt
        return decode(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_folder(pets, memory_mb=0)
    load_folder(pets, memory_mb=0)
    assert decoded == ["2.PNG"]


# ----- in threads


def test_results_come_in_order_and_nothing_is_printed_for_a_moment_of_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel_map, "PROGRESS_DELAY", 60.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    squares = list(parallel_map.parallel_map(lambda index: index * index, 500, what="Squaring"))
    assert squares == [index * index for index in range(500)]
    assert capsys.readouterr() == ("", "")


def test_long_work_shows_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel_map, "PROGRESS_DELAY", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(parallel_map.parallel_map(lambda index: index, 50, what="Reading train"))
    told = capsys.readouterr()
    assert "Reading train" in told.err
    assert told.out == ""


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
