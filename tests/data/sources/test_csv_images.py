"""Tables of paths and labels, whole and spoilt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.data.lazy_images import LazyImages
from copycat.data.sources.csv_images import CsvImages
from copycat.training.components import build_data
from tests.support.commands import call_copycat
from tests.support.images import load_folder, stack_images

SavePicture = Callable[..., Path]
ROWS = ["cat/a.png,cat", "cat/b.jpeg,cat", "cat/more/c.bmp,cat", "dog/1.png,dog", "dog/2.PNG,dog"]


def write_table(pets: Path, *rows: str, header: str = "path,label", encoding: str = "utf-8") -> Path:
    file = pets / "table.csv"
    file.write_bytes("\n".join([header, *(rows or ROWS)]).encode(encoding))
    return file


def load(pets: Path, *rows: str, header: str = "path,label", **options: Any) -> Any:
    source = CsvImages(file=str(write_table(pets, *rows, header=header)), **{"image_size": 8, **options})
    return source, source.load()


# ----- what is read


@pytest.mark.parametrize("memory_mb", [2048, 0])
def test_a_table_of_a_folder_gives_the_folders_images_labels_and_digests(pets: Path, memory_mb: int) -> None:
    source, parts = load(pets, memory_mb=memory_mb)
    folder = load_folder(pets)["train"]
    part = parts["train"]
    assert list(source.classes) == ["cat", "dog"]
    assert (part.digests, part.names, part.groups) == (folder.digests, folder.names, None)
    assert torch.equal(part.labels, folder.labels)
    assert torch.equal(stack_images(part), stack_images(folder))
    assert isinstance(part.images, LazyImages) == (memory_mb == 0)


@pytest.mark.parametrize(
    ("header", "row", "options"),
    [
        ("File Name;Class;x", "{};{};1", {}),
        ("x\timage-path\tSPECIES", "1\t{}\t{}", {}),
        ("a|b", "{}|{}", {"path_column": "a", "label_column": "b", "delimiter": "bar"}),
        ('"path","label","note"', '"{}","{}","a, b\nc"', {}),  # a cell of two lines
        ("\ufeffpath,label", "{} , {}", {}),  # as Excel saves it
        ("path,label\n", "{},{}\n ,", {}),  # blank lines
    ],
)
def test_columns_and_delimiters_are_found_or_stated(pets: Path, header: str, row: str, options: dict[str, Any]) -> None:
    _, parts = load(pets, *(row.format(*line.split(",")) for line in ROWS), header=header, **options)
    assert list(parts["train"].names) == [line.split(",")[0] for line in ROWS]
    assert parts["train"].labels.tolist() == [0, 0, 0, 1, 1]


def test_paths_are_relative_to_the_table_to_a_root_or_absolute(pets: Path, tmp_path: Path) -> None:
    rows = [f"{pets}/cat/a.png,cat", "more/../dog/1.png,dog"]
    (pets / "more").mkdir()
    _, beside = load(pets, *rows)
    (tmp_path / "else").mkdir()
    _, elsewhere = load(tmp_path / "else", *rows, root=str(pets))
    assert beside["train"].digests == elsewhere["train"].digests
    assert list(beside["train"].names) == [f"{pets}/cat/a.png", "more/../dog/1.png"]


def test_classes_are_sorted_numbers_as_numbers_or_in_the_stated_order(pets: Path) -> None:
    rows = [f"{line.split(',')[0]},{label}" for line, label in zip(ROWS, ["10", "9", "10", "2", "9"], strict=True)]
    source, parts = load(pets, *rows)
    assert source.classes == ["2", "9", "10"]
    assert parts["train"].labels.tolist() == [2, 1, 2, 0, 1]
    source, parts = load(pets, classes=["dog", "cat"])
    assert source.classes == ["dog", "cat"]
    assert parts["train"].labels.tolist() == [1, 1, 1, 0, 0]


def test_a_column_of_parts_makes_official_parts(pets: Path) -> None:
    splits = ["train", "Validation", "TEST", "training", "dev"]
    rows = [f"{line},{split}" for line, split in zip(ROWS, splits, strict=True)]
    _, parts = load(pets, *rows, header="path,label,split")
    assert {name: list(part.names) for name, part in parts.items()} == {
        "train": ["cat/a.png", "dog/1.png"],
        "val": ["cat/b.jpeg", "dog/2.PNG"],
        "test": ["cat/more/c.bmp"],
    }
    _, parts = load(pets, *rows, header="path,label,split", split_column="none")
    assert {name: len(part) for name, part in parts.items()} == {"train": 5}
    _, parts = load(pets, *rows, header="path,label,which", split_column="which")
    assert list(parts) == ["train", "val", "test"]


def test_excluded_rows_are_left_out_and_counted(pets: Path) -> None:
    rows = [f"{line},{mark}" for line, mark in zip(ROWS, ["", "1", "0", "no", "TRUE"], strict=True)]
    source, parts = load(pets, *rows, "gone.png,cow,x", header="path,label,exclude")
    assert list(parts["train"].names) == ["cat/a.png", "cat/more/c.bmp", "dog/1.png"]
    assert list(source.classes) == ["cat", "dog"]
    assert [str(one) for one in source.left_out] == ["table.csv: excluded by the table, 3 files"]


def test_groups_come_from_a_column_or_from_the_paths(pets: Path) -> None:
    rows = [f"{line},{owner}" for line, owner in zip(ROWS, ["ann", "bob", "ann", "cid", "bob"], strict=True)]
    _, parts = load(pets, *rows, header="path,label,owner", groups="owner")
    assert parts["train"].groups == ["ann", "bob", "ann", "cid", "bob"]
    _, parts = load(pets, groups=r"(\w)\.")
    assert parts["train"].groups == ["a", "b", "c", "1", "2"]


def test_images_that_were_drawn_are_marked_wherever_their_table_lies(pets: Path, tmp_path: Path) -> None:
    (pets / "DRAWN.txt").write_text("drawn")
    (tmp_path / "table.csv").write_text("path,label\npets/cat/a.png,cat\npets/dog/1.png,dog\n")
    source = CsvImages(file=str(tmp_path / "table.csv"), image_size=8)
    source.load()
    assert source.synthetic


# ----- spoilt tables


@pytest.mark.parametrize(
    ("header", "rows", "line"),
    [
        ("path,label", ["cat/a.png,cat", "dog/1.png,"], ", line 3: expected a label; got an empty cell."),
        ("path,label", ["cat/a.png,cat", ",dog"], ", line 3: expected a path; got an empty cell."),
        ("path,label", ["cat/a.png,cat", "dog/1.png"], ", line 3: expected 2 cells, as in the first line; got 1."),
        (
            "path,label",
            ["cat/a.png,cat", "dog/1.png,dog", "cat/./a.png,dog"],
            r", line 4: expected each file once; cat/\./a.png is in line 2 too, there as cat, here as dog\. Remove",
        ),
        ("path,label", ["cat/a.png,cat"], ": expected images of two classes at least; got cat."),
        ("path,label", [" "], ": expected rows below the first line; got none."),
        ("sep=;", ["path;label"], ", line 1: expected the names of the columns; got 'sep=', for Excel alone. Remove"),
        ("", [" "], ": expected a first line with the names of the columns; got none."),
        ("path,label,path", ["a,b,c"], ", line 1: expected columns of different names; got 'path' twice."),
        (
            "path,label,split",
            ["cat/a.png,cat,train", "dog/1.png,dog,tset"],
            ", line 3: expected train, val or test in split; got 'tset'. Did you mean test?",
        ),
        ("path,label,split", ["cat/a.png,cat,val", "dog/1.png,dog,val"], ": expected rows of train in split; got none"),
        ("path,label,exclude", ["cat/a.png,cat,maybe"], ", line 2: expected 1, 0 or nothing in exclude; got 'maybe'."),
        ("path,label", ['"cat/a.png,cat'], ", line 2: expected a table; unexpected end of data."),
    ],
)
def test_a_mistake_in_a_table_is_one_line_with_its_place(pets: Path, header: str, rows: list[str], line: str) -> None:
    with pytest.raises(UserError, match=rf"^data\.file: .*table\.csv{line}"):
        load(pets, *rows, header=header)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"path_column": "pth"}, "data.path_column: expected one of label, owner, path; got 'pth'. Did you mean"),
        (
            {"label_column": "none"},
            "data.label_column: expected the column of the class names; .* has label, owner, path",
        ),
        ({"groups": "owne"}, r"data.groups: expected one of .* Did you mean data.groups=owner\?"),
        ({"groups": "owner"}, "data.file: .*, line 4: expected a group in owner; got an empty cell"),
        ({"groups": "(x"}, "data.groups: expected a regular expression"),
        ({"classes": ["cats", "dog"]}, "line 2: expected one of data.classes, cats, dog; got 'cat'. Did you mean cats"),
    ],
)
def test_a_wrong_column_or_class_is_one_line(pets: Path, options: dict[str, Any], line: str) -> None:
    rows = [f"{row},{owner}" for row, owner in zip(ROWS, ["a", "b", "", "d", "e"], strict=True)]
    with pytest.raises(UserError, match=line):
        load(pets, *rows, header="path,label,owner", **options)


def test_classes_that_are_whole_numbers_are_ordered_as_they_are_typed(pets: Path) -> None:
    (pets / "numbered.csv").write_text("path,label\n" + "\n".join(ROWS).replace(",cat", ",0").replace(",dog", ",1"))
    words = ["data=csv", f"data.file={pets / 'numbered.csv'}", "data.classes=[1,0]"]
    data = build_data(compose(words).config["data"], seed=0)
    assert data.classes == ("1", "0")
    rows = "\n".join(ROWS).replace(",cat", ",1,0").replace(",dog", ",0,1")
    (pets / "columns.csv").write_text(f"path,0,1\n{rows}\n")
    words = ["data=csv", f"data.file={pets / 'columns.csv'}", "data.label_columns=[1,0]"]
    call_copycat("data", "check", *words)
    data = build_data(compose(words).config["data"], seed=0)
    assert data.classes == ("1", "0")


def test_files_that_cannot_be_read_are_named_with_their_lines_or_skipped(pets: Path) -> None:
    (pets / "dog/bad.png").write_bytes(b"no image")
    rows = [*ROWS, "dog/3.png,dog", "dog/bad.png,dog"]
    with pytest.raises(
        UserError, match=r"2 of 7 images of .*table\.csv can't be read, first line 7: dog/3\.png: No such"
    ):
        load(pets, *rows)
    _, parts = load(pets, *rows, on_unreadable="skip", groups=r"(\w)\.")
    assert len(parts["train"]) == 5
    assert parts["train"].groups == ["a", "b", "c", "1", "2"]
    assert [line.split(": ")[:2] for line in parts["train"].unreadable] == [
        ["line 7", "dog/3.png"],
        ["line 8", "dog/bad.png"],
    ]


@pytest.mark.parametrize(
    "content", [b"path,label\n\xff\xfe.png,cat\n", b"path,label\n\0,cat\nb,dog\n", b"\x89PNG\r\n\x1a\n\0"]
)
def test_files_that_are_no_text_are_refused(pets: Path, content: bytes) -> None:
    (pets / "table.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"^data\.\w+: "):
        CsvImages(file=str(pets / "table.csv"), image_size=8).load()


# ----- as typed


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data.file=nope.csv"], "data.file: expected a CSV file of paths and labels; nope.csv is not there"),
        (["data.file=pets"], "pets is a folder. Type data=folder data.root=pets."),
        (["data.file=pets/table.csv", "data.root=nope"], "data.root: expected a folder; nope is not there"),
        (["data.file=pets/table.csv", "data.groups=owner"], "data.groups: expected one of label, path, or a pattern"),
        (
            ["data.file=pets/table.csv", "data.delimiter=semicolon"],
            "data.path_column: expected the column of the paths",
        ),
        (
            ["data.file=pets/table.csv", "data.delimiter=;"],
            "data.delimiter: expected one of bar, comma, semicolon, tab",
        ),
    ],
)
def test_a_wrong_word_is_one_line(
    pets: Path, tmp_path: Path, words: list[str], line: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(pets)
    monkeypatch.chdir(tmp_path)
    call_copycat("train", "data=csv", *words, status=2)
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1
