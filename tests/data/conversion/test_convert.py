"""Conversions between forms: whole, repeated, killed, and refused."""

import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest
import torch

from copycat.config.errors import UserError
from copycat.data.conversion.convert import convert
from copycat.data.sources.csv_images import CsvImages
from tests.support.commands import call_copycat, run_copycat, start_copycat
from tests.support.conversions import CONVERTED, convert_folder, load_rows, make_source
from tests.support.images import load_folder, stack_images, write_image_folder
from tests.support.parameters import mark_slow


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("form", CONVERTED)
def test_a_folder_comes_back_byte_for_byte(form: str, pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows", form=form)
    done = convert(make_source(form, tmp_path / "rows", memory_mb=0), tmp_path / "back", form="folder", rows=2)
    assert (done.images, done.kept, done.unreadable) == (5, 0, 0)
    files = [path.relative_to(pets) for path in pets.rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "back" / file).read_bytes() == (pets / file).read_bytes()
    assert load_folder(tmp_path / "back")["train"].digests == load_folder(pets)["train"].digests


def test_each_form_is_converted_to_each_other_with_the_same_bytes(pets: Path, tmp_path: Path) -> None:
    for form in CONVERTED:
        convert_folder(pets, tmp_path / form, form=form)
    for form in CONVERTED:
        for other in ("shards", "webdataset"):
            to = tmp_path / f"{form}-{other}"
            convert(make_source(form, tmp_path / form, memory_mb=0), to, form=other, rows=2)
            assert read_files(to) == read_files(tmp_path / other)


def test_a_table_is_converted_with_its_classes_in_their_order_parts_and_groups(pets: Path, tmp_path: Path) -> None:
    table = pets / "table.csv"
    rows = ["dog/1.png,dog,train,x", "cat/a.png,cat,train,y", "dog/2.PNG,dog,test,x", "cat/b.jpeg,cat,test,y"]
    table.write_text("\n".join(["path,label,split,owner", *rows]))
    source = CsvImages(file=str(table), classes=["dog", "cat"], groups="owner", image_size=8, memory_mb=0)
    for form in CONVERTED:
        convert(source, tmp_path / form, form=form, rows=2)
        copy = make_source(form, tmp_path / form, groups="group")
        parts = copy.load()
        assert list(copy.classes) == ["dog", "cat"]
        assert {name: part.labels.tolist() for name, part in parts.items()} == {"train": [0, 1], "test": [0, 1]}
        assert parts["test"].groups == ["x", "y"]


def test_what_a_folder_does_not_hold_is_named(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pets / "table.csv").write_text("path,label,owner\ndog/1.png,dog,x\ncat/a.png,cat,y\n")
    words = ("data", "convert", pets / "table.csv", tmp_path / "back", "--to", "folder", "data.image_size=8")
    for more, note in (
        (
            ["data.classes=[dog,cat]", "data.groups=owner"],
            "a folder does not hold the order of the classes and groups",
        ),
        (["data.classes=[cat,dog]"], "2 images already existed"),
    ):
        call_copycat(*words, *more)
        assert capsys.readouterr().out == f"2 images in {tmp_path / 'back'}; {note}\n"


def test_a_second_conversion_keeps_whole_shards_and_mends_others(pets: Path, tmp_path: Path) -> None:
    to = tmp_path / "rows"
    assert convert_folder(pets, to).kept == 0
    written = read_files(to)
    assert convert_folder(pets, to).kept == 3
    (to / "train-00000.parquet").write_bytes(b"cut")
    (to / "train-00002.json").unlink()
    for name in (".train-00001.parquet.ab12cd", ".train-00001.json.ab12cd", ".copycat.json.0123ef"):
        (to / name).write_bytes(b"of a killed conversion")
    (to / "copycat.json").unlink()
    assert convert_folder(pets, to).kept == 1
    assert read_files(to) == written


def test_other_images_and_other_sizes_of_shards_replace_what_was_there(pets: Path, tmp_path: Path) -> None:
    convert_folder(pets, tmp_path / "rows", rows=1)
    (pets / "cat/a.png").write_bytes((pets / "dog/1.png").read_bytes())
    assert convert_folder(pets, tmp_path / "rows", rows=2).kept == 0
    convert_folder(pets, tmp_path / "fresh", rows=2)
    assert read_files(tmp_path / "rows") == read_files(tmp_path / "fresh")


@pytest.mark.parametrize("form", mark_slow(CONVERTED, fast=["shards"]))
def test_a_killed_conversion_goes_on_to_the_same_files(form: str, tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "many", classes={"cat": 0, "dog": 50}, parts={"": 150}, levels=200, digits=3)
    words = ["data", "convert", "many", "rows", "data.image_size=8", "--to", form, "--rows", "1"]
    shards = {"shards": "*.parquet", "webdataset": "*.tar", "lance": "data/*.lance"}[form]
    with start_copycat(*words, at=tmp_path) as command:
        until = time.monotonic() + 60
        while len(list((tmp_path / "rows").glob(shards))) < 20 and time.monotonic() < until:
            time.sleep(0.005)
        command.kill()
    written = len(list((tmp_path / "rows").glob(shards)))
    assert 20 <= written < 300
    with pytest.raises(UserError, match="interrupted"):
        load_rows(form, tmp_path / "rows")
    ended = run_copycat(*words, at=tmp_path)
    assert ended.returncode == 0, ended.stderr
    kept = int(ended.stdout.partition("; ")[2].split()[0])
    assert written - 1 <= kept <= written
    part = load_rows(form, tmp_path / "rows")["train"]
    assert torch.equal(stack_images(part), stack_images(load_folder(root)["train"]))
    if form != "lance":  # whose files have names by chance
        convert_folder(root, tmp_path / "fresh", form=form, rows=1)
        assert read_files(tmp_path / "rows") == read_files(tmp_path / "fresh")


def test_unreadable_images_stop_a_conversion_or_are_left_out_and_counted(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "cat/b.jpeg").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    call_copycat("data", "convert", "pets", "rows", status=2)
    assert "1 of 5 files in pets can't be read, first cat/b.jpeg" in capsys.readouterr().err
    call_copycat("data", "convert", "pets", "rows", "data.on_unreadable=skip", "data.image_size=8")
    assert capsys.readouterr().out == "4 images in rows; 1 unreadable image left out\n"
    assert (
        load_rows("shards", tmp_path / "rows")["train"].digests
        == load_folder(pets, on_unreadable="skip")["train"].digests
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere rows", "data convert: expected a folder, a file or an address; nowhere is not there."),
        ("pets pets/rows", "data convert: expected a folder outside of pets to write to; got pets/rows."),
        ("pets no/rows", "data convert: expected a folder to write to; "),
        (
            "pets pets2 --to shards",
            "data convert: expected a new folder, or one of an unfinished conversion to shards; ",
        ),
        ("pets pets2 --to lance", "data convert: "),
        ("pets rows data.fit=x", "data.fit: expected one of crop, pad, squash; got 'x'."),
    ],
)
def test_a_wrong_call_is_one_clear_line(
    words: str,
    message: str,
    pets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pets2").mkdir()
    (tmp_path / "pets2/file").touch()
    monkeypatch.chdir(tmp_path)
    call_copycat("data", "convert", *words.split(), status=2)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"copycat: {message}")
    assert said.err.count("\n") == 1


def test_names_that_lead_elsewhere_stay_in_the_folder(pets: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
        for place, (file, label) in enumerate({"cat/a.png": "cat", "dog/1.png": "dog"}.items()):
            content = (pets / file).read_bytes()
            for ending, each in {"png": content, "cls": label.encode()}.items():
                member = tarfile.TarInfo(f"../../{'/etc/' * place}{place}.{ending}")
                member.size = len(each)
                tar.addfile(member, BytesIO(each))
    source = make_source("webdataset", tmp_path / "hostile.tar", memory_mb=0)
    assert convert(source, tmp_path / "back", form="folder", rows=9).images == 2
    files = {path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*.png")}
    assert files == {"cat/0.png", "dog/etc/1.png"}


def test_a_class_that_is_no_name_of_a_folder_is_refused(pets: Path, tmp_path: Path) -> None:
    table = pets / "table.csv"
    table.write_text("path,label\ncat/a.png,a/b\ndog/1.png,dog\n")
    source = CsvImages(file=str(table), image_size=8, memory_mb=0)
    with pytest.raises(UserError, match=r"^--to: expected classes that are names of folders; got 'a/b'\."):
        convert(source, tmp_path / "back", form="folder", rows=9)
