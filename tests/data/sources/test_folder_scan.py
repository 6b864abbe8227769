"""Folders of parts and classes, and the files in them that are left out."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from unicodedata import normalize

import pytest

from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.quality import check_data
from copycat.data.sources.folder import Folder
from copycat.data.sources.folder_scan import scan_folder
from copycat.data.sources.folder_walk import find_images
from tests.support.images import load_folder

SavePicture = Callable[..., Path]


def test_hidden_files_and_other_files_are_passed_over(pets: Path, save_picture: SavePicture) -> None:
    save_picture("pets/cat/.hidden.png")
    save_picture("pets/.thumbnails/a.png")
    for name in ("cat/notes.txt", "cat/.DS_Store", "dog/Thumbs.db", "dog/labels.h5", "README.md"):
        (pets / name).write_text("words")
    assert len(load_folder(pets)["train"]) == 5


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


def test_parts_with_other_classes_are_refused(save_picture: SavePicture, tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "val/cat", "val/wolf"):
        save_picture(f"set/{name}/a.png")
    with pytest.raises(UserError, match=r"same classes in every part.*train has cat, dog, but .*val has cat, wolf"):
        load_folder(tmp_path / "set")


def test_a_class_is_one_in_all_parts_whose_names_are_other_bytes_of_the_same_letters(
    save_picture: SavePicture, tmp_path: Path
) -> None:
    owl, other = normalize("NFC", "käuzchen"), normalize("NFD", "käuzchen")
    for name in (f"train/{owl}/a", "train/dog/b", f"val/{other}/c", "val/dog/d"):
        save_picture(f"set/{name}.png")
    scan = scan_folder(tmp_path / "set")
    assert scan.classes == ["dog", owl]
    assert list(scan.parts["val"].files) == ["val/dog/d.png", f"val/{other}/c.png"]
    save_picture(f"set/val/{owl}/e.png")
    with pytest.raises(UserError, match="same classes in every part"):
        scan_folder(tmp_path / "set")


def test_parts_without_class_folders_are_not_taken_for_classes(save_picture: SavePicture, tmp_path: Path) -> None:
    save_picture("set/train/cat.1.png")
    save_picture("set/test/1.png")
    with pytest.raises(UserError, match=r"expected one sub-folder per class, two or more, in .*train; got no"):
        load_folder(tmp_path / "set")


def test_a_root_that_is_not_there_or_a_file_is_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    with pytest.raises(UserError, match=r"expected a folder; .*none is not there\. Type data\.root=FOLDER"):
        load_folder(tmp_path / "none")
    with pytest.raises(UserError, match=r"a\.png is a file"):
        load_folder(save_picture("a.png"))


def test_fewer_than_two_classes_are_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture("set/a.png")
    with pytest.raises(UserError, match=r"two or more, in .*; got no sub-folder"):
        load_folder(tmp_path / "set")
    with pytest.raises(UserError, match=r"one or more, in .*; got no sub-folder"):  # as `copycat evaluate` reads it
        scan_folder(tmp_path / "set", min_classes=1)
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
