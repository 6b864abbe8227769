"""Metrics of a run on other data."""

import json
import re
import shutil
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed, open_evaluation_arguments
from copycat.deploy.calibration_request import make_request
from copycat.deploy.class_report import _class_rows, print_class_reports
from copycat.deploy.evaluation import evaluate_parts, metric_rows
from copycat.records.predictions import Predictions
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("model=logistic", "optimizer=adam", "optimizer.lr=0.01", "trainer.max_epochs=50")
    return train_tiny(*words, *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


def test_on_its_own_data_it_gives_the_run_s_own_metrics(folder: Path) -> None:
    final = json.loads((folder / "run.json").read_text())["results"]["final"]
    rows = evaluate_parts(open_completed(folder), []).rows()
    assert {f"{row['part']}/{row['metric']}" for row in rows} == {name for name in final if not name.endswith("/loss")}
    for row in rows:
        assert row["value"] == final[f"{row['part']}/{row['metric']}"]
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


class Counting(nn.Module):
    """Keep what it learns in a buffer that state_dict() leaves out."""

    seen: Tensor

    def __init__(self, *, in_features: int, out_features: int, **_: object) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.register_buffer("seen", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + 1.0 * self.training
        logits: Tensor = self.linear(x.flatten(1)) + self.seen
        return logits


def test_a_network_that_is_another_once_it_is_read_is_noted(
    folder: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"model._target_={__name__}.Counting", "model=linear", "trainer.max_epochs=4", *QUIET]
    other = train_tiny(*words, data=tiny, at=tmp_path).folder
    for run, is_noted in ((folder, False), (other, True)):
        call_copycat("evaluate", str(run))
        assert ("other probabilities than it gave when it was trained" in capsys.readouterr().err) == is_noted


def test_on_a_folder_of_one_s_own_images_are_given_their_classes_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, shade in (("cat", 240), ("dog", 10)):  # of any size
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((40, 30, 3), shade, dtype=np.uint8)).save(tmp_path / "own" / name / f"{number}.png")
    words = ["evaluate", str(folder), "data=folder", f"data.root={tmp_path / 'own'}"]
    call_copycat(*words, "--json")
    said = json.loads(capsys.readouterr().out)
    rows = {row["metric"]: row for row in said["metrics"]}
    assert said["parts"][0]["confusion"] == [[3, 0], [0, 3]]
    assert {(row["part"], row["images"]) for row in rows.values()} == {("all", 6)}
    assert rows["accuracy"]["value"] == rows["auroc"]["value"] == 1.0  # bright cats and dark dogs, as it learned
    call_copycat(*words)
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert "precision, recall, f1: of class dog\n" in out
    assert "all: confusion matrix (rows: true class; columns: predicted class), and scores of each class\n" in out
    assert "error" not in out


def test_its_own_images_are_found_where_they_have_moved(tiny: Path, tmp_path: Path) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    folder = train_tiny("trainer.max_epochs=1", "data.fit=pad", *QUIET, data=images, at=tmp_path / "runs").folder
    run = open_completed(folder)
    before = evaluate_parts(run, []).rows()
    moved = images.rename(tmp_path / "moved images")
    with pytest.raises(UserError, match=r"^data\.root: expected a folder; .* Type data\.root=FOLDER"):
        evaluate_parts(run, [])
    assert evaluate_parts(run, [f"data.root={moved}"]).rows() == before


def test_its_own_images_keep_their_classes_where_sub_folders_of_other_classes_were_added(
    birds: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(birds, tmp_path / "images")
    words = ("model=logistic", "optimizer=adam", "optimizer.lr=0.1", "trainer.max_epochs=40", "data.holdout=0.5")
    run = open_completed(train_tiny(*words, *QUIET, data=images, at=tmp_path / "runs").folder)
    before = {part: list(found.label) for part, found in evaluate_parts(run, []).predictions.items()}
    (images / "duck").rename(images / "auk")  # now the first in the order of names
    with pytest.raises(UserError, match=r"^data: expected the run's classes, crow, duck, owl; got auk\. Name the sub-"):
        evaluate_parts(run, [])
    (images / "crow").rename(tmp_path / "crow")  # labels of the others move up
    (images / "auk").rename(images / "duck")
    after = {part: list(found.label) for part, found in evaluate_parts(run, []).predictions.items()}
    assert {part: sorted(set(labels)) for part, labels in before.items()} == {"train": [0, 1, 2], "val": [0, 1, 2]}
    assert {part: sorted(set(labels)) for part, labels in after.items()} == {"train": [1, 2], "val": [1, 2]}


@pytest.mark.parametrize("word", ["seed=1", "model=deep", "trainer.accelerator=cpu", "test=true", "database=x"])
def test_keys_other_than_data_are_refused(folder: Path, word: str) -> None:
    with pytest.raises(UserError, match=rf"^{word}: expected other data to evaluate on, .* data\.root=FOLDER\.$"):
        open_evaluation_arguments([str(folder), "data.fit=pad", word])


@pytest.mark.parametrize("word", ["data.fold=0", "+data.split=holdout"])
def test_a_division_is_refused_as_all_images_are_evaluated(folder: Path, word: str) -> None:
    expected = rf"^{re.escape(word)}: expected no division of the images, as all are evaluated; .* Leave it out\.$"
    with pytest.raises(UserError, match=expected):
        open_evaluation_arguments([str(folder), word])


def test_other_classes_are_refused(folder: Path, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny / "train", tmp_path / "own")
    (tmp_path / "own" / "dog").rename(tmp_path / "own" / "wolf")
    with pytest.raises(UserError, match=r"expected the run's classes, cat, dog; got wolf"):
        evaluate_parts(open_completed(folder), ["data=folder", f"data.root={tmp_path / 'own'}"]).rows()


def test_classes_are_those_of_the_run_whatever_bytes_their_letters_are(
    folder: Path, tiny: Path, tmp_path: Path
) -> None:
    dogs = {"NFC": normalize("NFC", "dög"), "NFD": normalize("NFD", "dög")}
    images = {form: tmp_path / form for form in dogs}
    for form, root in images.items():
        shutil.copytree(tiny / "train", root)
        (root / "dog").rename(root / dogs[form])
    run = open_completed(train_tiny("trainer.max_epochs=1", *QUIET, data=images["NFC"], at=tmp_path / "runs").folder)
    words = ["data=folder", f"data.root={images['NFD']}"]
    assert len(evaluate_parts(run, words).predictions["all"].label) == len(list(images["NFD"].rglob("*.png")))
    assert make_request(["cat", dogs["NFD"]], recall=0.9, positive=dogs["NFC"]).positive == 1


def test_on_a_folder_of_one_class_it_says_the_accuracy_and_which_class_is_missing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "cat").mkdir(parents=True)
    for number, shade in enumerate((240, 230, 5)):
        Image.fromarray(np.full((9, 9, 3), shade, dtype=np.uint8)).save(tmp_path / "own" / "cat" / f"{number}.png")
    words = ["evaluate", str(folder), "data=folder", f"data.root={tmp_path / 'own'}"]
    call_copycat(*words, "--json")
    answer = json.loads(capsys.readouterr().out)
    (row,), (part,) = answer["metrics"], answer["parts"]
    assert part["confusion"] == [[2, 1], [0, 0]]
    assert [row["recall"] for row in part["classes"]] == [pytest.approx(2 / 3), None]
    (error,) = part["errors"]
    assert (error["image"], error["class"], error["predicted"]) == ("cat/2.png", "cat", "dog")
    assert 0.5 < error["probability"] <= 1
    assert (row["metric"], row["images"]) == ("accuracy", 3)
    assert row["value"] == pytest.approx(2 / 3)  # two are bright, as the cats that it learned
    call_copycat(*words)
    out = capsys.readouterr().out
    said = "all: no image of dog: accuracy alone is known; balanced_accuracy and auroc need each class"
    assert said in " ".join(out.split())
    assert "all: 1 error of 3, most confident first" in out


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
@pytest.mark.parametrize("content", [None, b"part\nval\n"], ids=["missing", "damaged"])
def test_without_images_csv_a_line_says_that_images_trained_on_are_not_found(
    content: bytes | None, form: list[str], folder: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(folder, tmp_path / "run")
    call_copycat("evaluate", run, "data=folder", f"data.root={tiny}", *form)
    assert "trained on" not in capsys.readouterr().err
    (run / "images.csv").unlink()
    if content is not None:
        (run / "images.csv").write_bytes(content)
    call_copycat("evaluate", run, "data=folder", f"data.root={tiny}", *form)
    line = f"{run / 'images.csv'}: missing or damaged; whether images were also trained on cannot be checked"
    assert capsys.readouterr().err.splitlines().count(f"copycat: {line}") == 1


def test_changes_of_its_own_images_and_unreadable_ones_are_named_on_standard_error(
    folder: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("evaluate", folder, "--csv")
    assert "changed" not in capsys.readouterr().err
    images = shutil.copytree(tiny, tmp_path / "images")
    words = ("trainer.max_epochs=1", "data.on_unreadable=skip")
    run = train_tiny(*words, *QUIET, data=images, at=tmp_path / "runs").folder
    (images / "val" / "cat" / "0.png").unlink()
    (images / "val" / "cat" / "1.png").write_bytes(b"")
    call_copycat("evaluate", run, "--csv")
    err = capsys.readouterr().err
    assert "copycat: 1 unreadable, left out: val/cat/1.png: empty file\n" in err
    assert "copycat: changed since the run: 2 images differ: val: val/cat/0.png, val: val/cat/1.png\n" in err
    call_copycat("evaluate", run, folder, "data=folder", f"data.root={images}", "data.on_unreadable=skip", "--csv")
    err = capsys.readouterr().err
    assert "copycat: 1 unreadable, left out: val/cat/1.png: empty file\n" in err
    assert "changed" not in err


def test_averages_are_over_the_classes_that_have_images() -> None:
    probability = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]])
    rows = {
        row["metric"]: row
        for row in metric_rows("all", Predictions(np.array([0, 0, 1, 1]), probability), present_only=True)
    }
    assert {name: row["value"] for name, row in rows.items()} == {
        "accuracy": 0.75,
        "precision": 1.0,
        "recall": 0.75,
        "f1": pytest.approx((2 / 3 + 1) / 2),
    }
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values())


@pytest.mark.parametrize("count", [10, 11])
def test_the_title_names_the_confusion_matrix_where_it_is_shown(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    classes, matrix = [f"c{index}" for index in range(count)], np.eye(count, dtype=np.int64)
    report = {"part": "val", "confusion": matrix.tolist(), "classes": _class_rows(matrix, classes), "errors": []}
    print_class_reports([report], classes)
    title = capsys.readouterr().out.splitlines()[0]
    if count == 10:
        assert title == "val: confusion matrix (rows: true class; columns: predicted class), and scores of each class"
    else:
        assert title == "val: scores of each class; the confusion matrix of 11 classes is in --json"
