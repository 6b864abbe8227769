"""`copycat data check --deep` as a user types it: the page, the table and what reads it back, a run's report."""

import csv
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.sources.csv_images import CsvImages
from copycat.data.sources.folder import Folder
from copycat.data.synthetic.dataset import Drawn
from copycat.inspection.quality import features
from copycat.inspection.quality.image_lists import read_image_lists
from copycat.inspection.reports.run_page import make_run_page
from copycat.records.image_index import read_images
from copycat.records.predictions import read_predictions
from copycat.training.components import build_data
from tests.support.commands import call_copycat
from tests.support.html import parse_html
from tests.support.images import write_image_folder
from tests.support.planted import CROP, NEAR_DUPLICATES, write_planted
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with planted faults, their page and their table."""
    at = tmp_path_factory.mktemp("checked")
    root = write_planted(at / "photos")
    words = ["data=folder", f"data.root={root}", "--to", at / "page.html", "--csv", at / "table.csv"]
    call_copycat("data", "check", "--deep", *words)
    return at


def read_rows(table: Path) -> dict[str, dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return {row["path"].removeprefix("photos/"): row for row in csv.DictReader(file)}


def test_the_page_shows_each_finding_with_a_thumbnail(checked: Path) -> None:
    page = (checked / "page.html").read_text()
    found = parse_html(page)
    captions = [caption for _, caption in found.images]
    for name in (*NEAR_DUPLICATES, *NEAR_DUPLICATES.values(), *CROP, "train/cat/blank.png", "train/cat/wide.png"):
        assert any(caption.startswith(f"{name}: ") for caption in captions), name
    assert all(source.startswith("data:image/jpeg;base64,") for source, _ in found.images)
    assert "Near-duplicates across parts: 3" in page
    assert not re.search(r"https?://", page)


def test_the_table_is_read_back_without_what_it_excludes(checked: Path) -> None:
    rows = read_rows(checked / "table.csv")
    excluded = {name for name, row in rows.items() if row["exclude"] == "1"}
    # of near-duplicates across parts, the image of val is kept
    across = {original for copy, original in NEAR_DUPLICATES.items() if copy.startswith("val")}
    within = {copy for copy in (*NEAR_DUPLICATES, CROP[0]) if copy.startswith("train")}
    assert excluded == across | within | {"train/cat/blank.png", "train/cat/blurred.png"}
    loaded = CsvImages(file=str(checked / "table.csv"), groups="group").load()
    original = Folder(root=str(checked / "photos")).load()
    for part, images in original.items():
        kept = [index for index, name in enumerate(images.names) if name not in excluded]
        assert [name.removeprefix("photos/") for name in loaded[part].names] == [images.names[i] for i in kept]
        assert loaded[part].digests == [images.digests[i] for i in kept]
        assert loaded[part].labels.tolist() == images.labels[kept].tolist()


def test_of_equal_images_the_one_whose_label_fits_is_kept(tmp_path: Path) -> None:
    images = write_image_folder(tmp_path / "images", classes={"cat": 200, "dog": 20}, parts={"": 12}, levels=40)
    shutil.copy(images / "dog" / "5.png", images / "cat" / "-1.png")  # the first
    call_copycat(
        *("data", "check", "--deep", "data=folder", f"data.root={images}", "--to", tmp_path / "page.html"),
        *("--csv", tmp_path / "table.csv"),
    )
    excluded = {Path(name).name for name, row in read_rows(tmp_path / "table.csv").items() if row["exclude"] == "1"}
    assert "-1.png" in excluded
    assert "5.png" not in excluded


def test_groups_of_the_table_keep_near_duplicates_in_one_part(checked: Path) -> None:
    for fold in range(3):
        table = str(checked / "table.csv")
        source = CsvImages(file=table, groups="group", split_column="none", exclude_column="none")
        parts = DataModule(source, folds=3, fold=fold).parts
        validated = {name.removeprefix("photos/") for name in parts["val"].names}
        for pair in (*NEAR_DUPLICATES.items(), CROP):
            assert len(validated & {*pair}) != 1, pair


def test_a_second_check_writes_the_same_bytes(checked: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={checked / 'photos'}", "--to", tmp_path / "page.html"]
    call_copycat("data", "check", "--deep", *words, "--csv", checked / "again.csv")
    assert (tmp_path / "page.html").read_bytes() == (checked / "page.html").read_bytes()
    assert (checked / "again.csv").read_bytes() == (checked / "table.csv").read_bytes()


def test_the_command_that_trains_on_the_others_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=drawn", "data.train=24", "data.val=8", "--csv", "t,1 (x).csv", "--exclude", "none"]
    call_copycat("data", "check", "--deep", *words)
    typed = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("copycat train ")[2])
    config = compose(typed).config
    assert config["data"]["file"].endswith("t,1 (x).csv")
    assert build_data(config["data"], seed=0).classes == ("non-cat", "cat")  # the order of the data, not the sorted one


def test_a_table_of_several_classes_is_read_back_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_image_folder(tmp_path / "images", classes={"cat": 200, "dog": 20}, parts={"": 6}, levels=40)
    labels = ["cat;dog", "", "cat", "dog", "dog", "cat"] * 2
    paths = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    (images / "t.csv").write_text("file,label\n" + "".join(map("{},{}\n".format, paths, labels)))
    monkeypatch.chdir(images)
    words = ["data=csv", "data.file=t.csv", "data.label_separator=';'", "data.image_size=8"]
    call_copycat("data", "check", "--deep", *words, "--csv", "checked.csv", "--exclude", "none")
    typed = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("copycat train ")[2])
    found, expected = (build_data(compose(each).config["data"], seed=0).source.load() for each in (typed, words))
    by_name = {name: label for part in expected.values() for name, label in zip(part.names, part.labels, strict=True)}
    assert sorted(found["train"].names) == sorted(by_name)
    for name, label in zip(found["train"].names, found["train"].labels, strict=True):
        assert label.tolist() == by_name[name].tolist(), name


def test_a_file_whose_name_is_not_utf_8_is_named_before_the_images_are_looked_at(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(tiny, tmp_path / "photos")
    (root / "val" / "cat" / "0.png").rename(root / "val" / "cat" / os.fsdecode(b"caf\xe9.png"))
    words = ["data=folder", f"data.root={root}", "--to", tmp_path / "page.html", "--csv", tmp_path / "t.csv"]
    call_copycat("data", "check", "--deep", *words, status=2)
    printed = capsys.readouterr()
    assert "expected names of files in UTF-8; got 'photos/val/cat/caf\\udce9.png'. Rename it." in printed.err
    assert "near-duplicates" not in printed.out
    assert not (tmp_path / "page.html").exists()


def test_images_without_files_are_written_beside_the_table(tmp_path: Path) -> None:
    words = ["data=drawn", "data.train=24", "data.val=8", "--to", tmp_path / "page.html", "--csv", tmp_path / "t.csv"]
    call_copycat("data", "check", "--deep", *words, "--exclude", "none")
    loaded = CsvImages(file=str(tmp_path / "t.csv"), classes=["non-cat", "cat"]).load()
    for part, images in Drawn(train=24, val=8).load().items():
        assert loaded[part].digests == images.digests
        assert loaded[part].labels.tolist() == images.labels.tolist()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--csv", "a.csv"], "--csv: expected --deep too; got none."),
        (["--deep", "--exclude", "blank"], "--exclude: expected --csv FILE too; got none."),
        (["--deep", "--csv", "a.csv", "--exclude", "blurry"], "Did you mean blurred?"),
        (["--deep", "--to", "."], "--to: expected a file to write to; got ., a folder."),
        (["--deep", "--to", "/etc/passwd/b.html"], "got /etc/passwd/b.html, whose folder cannot be written to."),
        (["--deep", "--predictions", "nowhere"], "--predictions: expected the folder of a sweep; got nowhere."),
    ],
)
def test_wrong_flags_are_named(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("data", "check", *words, status=2)
    assert line in capsys.readouterr().err


def test_the_table_that_is_checked_is_not_overwritten(checked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = checked / "table.csv"
    call_copycat("data", "check", "--deep", "data=csv", f"data.file={table}", "--csv", table, status=2)
    assert "--csv: expected another file than data.file" in capsys.readouterr().err


def test_labels_are_judged_by_a_sweep_over_folds(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {}
    for fold in range(3):
        words = [f"data.fold={fold}", "data.folds=3", "trainer.max_epochs=20", *QUIET]
        folder = train_tiny(*words, data=tiny, at=tmp_path / "outputs").folder
        images = [image for image in read_images(folder) or [] if image.part == "val"]
        predictions = read_predictions(folder, classes=2)["val"]
        for image, label, row in zip(images, predictions.label, predictions.probability, strict=True):
            expected[image.name] = row[label]
    data = ["data=folder", f"data.root={tiny}", "data.image_size=8", "--to", tmp_path / "page.html"]
    table = tmp_path / "table.csv"
    call_copycat("data", "check", "--deep", *data, "--predictions", tmp_path / "outputs", "--csv", table)
    rows = {path.removeprefix(f"{tiny}/"): row for path, row in read_rows(table).items()}
    assert len(expected) == 16
    for name, row in rows.items():
        assert row["label_quality"] == (f"{expected[name]:.4f}" if name in expected else ""), name
    (tmp_path / "empty").mkdir()
    call_copycat("data", "check", "--deep", *data, "--predictions", tmp_path / "empty", status=2)
    assert "expected the folder of a sweep over data.fold on these images" in capsys.readouterr().err


def test_a_run_with_the_callback_has_the_same_bits_and_more_in_its_report(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "find_spec", lambda package: None)  # labels by the run's own predictions
    words = ["trainer.max_epochs=3", "logger=none"]
    plain = train_tiny(*words, "callbacks=none", data=tiny, at=tmp_path)
    run = train_tiny(*words, "callbacks=quality", data=tiny, at=tmp_path)
    assert (run.folder / "weights.safetensors").read_bytes() == (plain.folder / "weights.safetensors").read_bytes()
    assert (run.folder / "metrics.csv").read_bytes() == (plain.folder / "metrics.csv").read_bytes()
    labels = {each.title: each for each in read_image_lists(run.folder)}["Suspect labels"]
    wrong = (~read_predictions(run.folder, classes=2)["val"].is_correct).sum()
    assert labels.count == wrong
    html = make_run_page(run.folder).html()
    assert "Data quality" in html
    assert "Data quality" not in make_run_page(plain.folder).html()
    content = json.loads((run.folder / "quality.json").read_text())
    content[0]["images"] = [[{"jpeg": "iVBORw0KGgo=", "name": "a", "caption": "b"}]]  # the head of a PNG
    (run.folder / "quality.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="quality"):
        make_run_page(run.folder)
