"""Images of several classes, from the table to the export."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import copycat
from copycat.config.errors import UserError
from copycat.records.metrics_csv import read_history
from copycat.records.predictions import read_predictions
from copycat.records.run_loader import open_run
from copycat.reruns.comparison import compare
from copycat.training.train import train
from tests.support.commands import call_copycat
from tests.support.html import parse_html
from tests.support.images import write_image_folder
from tests.support.runs import compose_quickly

CLASSES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images of 12×12 pixels with a patch of each color that they have, and a table of them."""
    root = tmp_path_factory.mktemp("patches")
    draw = np.random.default_rng(0)
    rows = []
    for index in range(60):
        has = draw.random(3) < [0.5, 0.3, 0.6]
        pixels = draw.integers(0, 100, (12, 12, 3), dtype=np.uint8)
        for channel in np.flatnonzero(has):
            pixels[4 * channel : 4 * channel + 4, 2:10, channel] += 100
        Image.fromarray(pixels).save(root / f"{index}.png")
        rows.append([f"{index}.png", *has.astype(int)])
    with (root / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", *CLASSES], *rows])
    return root


def words(patches: Path, *more: str) -> list[str]:
    data = ("data=csv", f"data.file={patches / 'images.csv'}", f"data.label_columns=[{','.join(CLASSES)}]")
    return [*data, "data.image_size=12", "optimizer=adam", "optimizer.lr=0.01", "trainer.max_epochs=20", *more]


@pytest.fixture(scope="module")
def run(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("runs")
    request = compose_quickly(
        words(patches, "model=shallow", "data.batch_size=16", f"output_dir={at}", "callbacks=full")
    )
    result = train(request)
    assert result.status == "completed", result.manifest["error"]
    return result.folder


def read_output(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_run_learns_each_class_and_records_it(run: Path) -> None:
    manifest, rows = json.loads((run / "run.json").read_text()), read_history(run)
    assert (manifest["data"]["classes"], manifest["data"]["multi_label"]) == (CLASSES, True)
    assert rows[-1]["val/accuracy"] > manifest["data"]["majority"]["val"]
    assert rows[-1]["val/auroc"] > 0.9
    predicted = read_predictions(run, classes=3)["val"]
    assert predicted.label.shape == predicted.probability.shape == (12, 3)
    assert predicted.scores()["f1"] == pytest.approx(manifest["results"]["final"]["val/f1"])


def test_predict_names_all_classes_of_an_image(run: Path, patches: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("predict", run, patches / "0.png", patches / "1.png", "--json")
    rows = read_output(capsys)["predictions"]
    for row in rows:
        assert row["classes"] == [name for name in CLASSES if row[f"probability/{name}"] > 0.5]
    call_copycat("predict", run, patches / "0.png", "--csv")
    assert capsys.readouterr().out.startswith("file,classes,probability/red,probability/green,probability/blue\n")
    found = copycat.load_run(run).predict([str(patches / "0.png"), str(patches / "1.png")])
    assert found.names == [";".join(row["classes"]) or "none" for row in rows]


def test_thresholds_are_fitted_checked_and_used(
    patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = compose_quickly(words(patches, "trainer.max_epochs=3", f"output_dir={tmp_path}", "callbacks=none"))
    run = train(request).folder
    call_copycat("calibrate", run, "--json")
    (made,) = read_output(capsys)["calibrations"]
    thresholds = dict(zip(CLASSES, made["thresholds"], strict=True))
    f1 = next(row for row in made["metrics"] if row["metric"] == "f1")
    assert f1["after"] > f1["before"]  # after three epochs all probabilities lie near one value
    call_copycat("predict", run, patches, "--json")
    rows = read_output(capsys)["predictions"]
    assert all(row["classes"] == [n for n in CLASSES if row[f"probability/{n}"] > thresholds[n]] for row in rows)
    call_copycat("evaluate", run, "--json")
    evaluated = read_output(capsys)
    found = {(row["part"], row["metric"]): row["value"] for row in evaluated["metrics"]}
    assert found["val", "f1 at thresholds"] > found["val", "f1"]
    (report,) = evaluated["parts"]
    assert sum(row["rightly"] for row in report["classes"]) > 0
    assert len(report["errors"]) == round(12 * (1 - found["val", "exact_match at thresholds"]))
    call_copycat("evaluate", run)
    printed = capsys.readouterr().out
    assert "val: the calibration was fitted on these images: figures at thresholds are optimistic" in printed
    assert printed.count("positives") == 2  # true and false ones, of each class
    call_copycat("report", run)
    assert "fitted on such images, so that these counts are optimistic" in (run / "report.html").read_text()
    call_copycat("calibrate", run, "--half")
    half = json.loads((run / "calibration.json").read_text())["images"]
    capsys.readouterr()
    call_copycat("evaluate", run, "--json")
    halves = [row for row in read_output(capsys)["metrics"] if row["metric"].endswith("at thresholds")]
    assert {(row["part"], row["images"]) for row in halves} == {("val, not calibrated on", 12 - half)}
    call_copycat("calibrate", run, "--recall", "0.9", status=2)
    assert capsys.readouterr().err.endswith("gets a threshold of its own. Leave it out.\n")


def test_folds_are_evaluated_together_at_their_thresholds(
    patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in (0, 1):
        more = ("trainer.max_epochs=3", f"output_dir={tmp_path}", "callbacks=none", "data.folds=2", f"data.fold={fold}")
        train(compose_quickly(words(patches, *more)))
    call_copycat("calibrate", tmp_path)
    capsys.readouterr()
    call_copycat("evaluate", tmp_path, "--json")
    found = {row["metric"]: row for row in read_output(capsys)["metrics"]}
    assert found["f1 at thresholds"]["value"] > found["f1"]["value"]
    assert found["f1 at thresholds"]["images"] == 60


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", ["safetensors", "onnx"])
def test_an_export_says_what_predict_does(
    form: str, classes: int, patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = f"data.label_columns=[{','.join(CLASSES[:classes])}]"
    run = train(compose_quickly(words(patches, some, f"output_dir={tmp_path}", "callbacks=none"))).folder
    call_copycat("export", run, f"--format={form}", f"--to={tmp_path / 'to'}")
    capsys.readouterr()
    used = [sys.executable, str(tmp_path / "to" / "use.py"), str(patches / "0.png")]
    printed = subprocess.run(used, capture_output=True, text=True, check=True).stdout.splitlines()
    call_copycat("predict", run, patches / "0.png", "--json")
    (row,) = read_output(capsys)["predictions"]
    expected = [f"{name} {row[f'probability/{name}']:.4f}" for name in CLASSES[:classes]]
    assert printed == [*expected, f"predicted: {';'.join(row['classes']) or 'none'}"]


def test_the_report_counts_each_class_and_has_no_confusion_matrix(run: Path, tmp_path: Path) -> None:
    call_copycat("report", run, f"--to={tmp_path / 'page.html'}")
    page = (tmp_path / "page.html").read_text()
    assert "Classes (validation)" in page
    assert "present: not predicted" in page
    assert "Confusion matrix" not in page


def test_the_head_of_the_report_has_the_interval_of_its_table(run: Path, tmp_path: Path) -> None:
    call_copycat("report", run, f"--to={tmp_path / 'page.html'}")
    page = parse_html((tmp_path / "page.html").read_text())
    cell = next(row for row in page.rows if row[0] == "accuracy")[2]
    accuracy, low, high = re.findall(r"\d\.\d+", cell)
    assert f"Validation accuracy {accuracy} (95 % interval {low} to {high}, " in "".join(page.texts)


def test_the_page_of_several_runs_has_the_interval_of_each(run: Path, tmp_path: Path) -> None:
    copies = [shutil.copytree(run, tmp_path / name) for name in ("one", "other")]
    for page, runs in (("run.html", [run]), ("runs.html", copies)):
        call_copycat("report", *runs, f"--to={tmp_path / page}")
    (interval,) = re.findall(r"Validation accuracy \S+ \(95 % interval ([^,]*), ", (tmp_path / "run.html").read_text())
    page = "".join(parse_html((tmp_path / "runs.html").read_text()).texts)
    for name in ("one", "other"):
        assert f"un {name}: validation accuracy" in page
    assert page.count(f"(95 % interval {interval}, a mean over the classes; majority baseline ") == 2


def test_tables_give_its_accuracy_no_wilson_interval(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = [shutil.copytree(run, tmp_path / name) for name in ("one", "other")]
    call_copycat("runs", tmp_path)
    call_copycat("compare", *copies)
    out = capsys.readouterr().out
    assert "val/accuracy" in out
    assert "Wilson" not in out
    assert "majority baseline:" not in out


def test_a_rerun_and_an_interrupted_run_that_is_resumed_have_the_same_bits(
    run: Path, patches: Path, tmp_path: Path
) -> None:
    more = ("model=shallow", "data.batch_size=16", f"output_dir={tmp_path}", "callbacks=full")
    half = train(compose_quickly(words(patches, *more, "trainer.max_epochs=10"))).folder
    call_copycat("resume", half, "trainer.max_epochs=20")
    assert not compare(open_run(run), open_run(half)).differences
    single_steps = train(compose_quickly(words(patches, *more, "trainer.steps_per_execution=1"))).folder
    assert not compare(open_run(run), open_run(single_steps)).differences


def test_trials_of_a_pack_have_the_metrics_of_runs_alone(patches: Path, tmp_path: Path) -> None:
    more = ("loss.class_weights=balanced", "data.batch_size=16")
    packed = tmp_path / "packed"
    call_copycat("train", "-m", *words(patches, *more, "seed=1,2"), "hydra/launcher=packed", f"sweep.folder={packed}")
    alone = train(compose_quickly(words(patches, *more, "seed=2", f"output_dir={tmp_path / 'alone'}"))).folder
    found, expected = read_history(packed / "1")[-1], read_history(alone)[-1]
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("loss=bce", "loss: expected multi_label or auto"),
        ("data.sampler=balanced", "data.sampler=balanced: expected images of one class each"),
        ("metrics=mcc", "metrics.mcc: expected a class that takes task or num_labels"),
    ],
)
def test_what_needs_one_class_an_image_is_refused_in_one_line(more: str, line: str, patches: Path) -> None:
    with pytest.raises(UserError, match=f"^{line}"):
        train(compose_quickly(words(patches, more)))


def test_the_exact_match_has_the_same_exact_interval_as_a_metric_of_the_run(
    run: Path, patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact_match = "+metrics.exact_match={_target_: torchmetrics.classification.ExactMatch}"
    more = (exact_match, "model=shallow", "data.batch_size=16", "callbacks=none", f"output_dir={tmp_path}")
    rows = []
    for folder in (run, train(compose_quickly(words(patches, *more))).folder):
        call_copycat("evaluate", folder, "--json")
        rows.append([row for row in read_output(capsys)["metrics"] if row["metric"] == "exact_match"])
    for usual, added in zip(*rows, strict=True):
        assert added == usual | {"value": pytest.approx(usual["value"])}


def test_other_data_of_one_class_an_image_are_refused_with_what_to_type(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image_folder(tmp_path, classes={"red": 0, "green": 60, "blue": 120}, parts={"": 2}, levels=40)
    call_copycat("evaluate", run, "data=folder", f"data.root={tmp_path}", status=2)
    error = capsys.readouterr().err
    assert "data=folder: expected images of several classes each, as the run's; got one. Type data=folder" in error
    call_copycat("evaluate", run, "data=folder", f"data.root={tmp_path}", "data.multi_label=true")
    assert "exact_match" in capsys.readouterr().out


def test_the_loss_of_several_classes_is_refused_for_one(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"^loss: expected images that may have several classes; each has one"):
        train(compose_quickly(["data=folder", f"data.root={tiny}", "loss=multi_label"]))
