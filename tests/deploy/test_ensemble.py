"""Several runs, evaluated as one."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copycat import read_runs
from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed_in
from copycat.deploy.ensemble import evaluate_ensemble
from copycat.deploy.ensemble_members import varying_names
from copycat.records.run_folder import read_manifest
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny

WORDS = ("model=logistic", "optimizer=adam", "optimizer.lr=0.003", "trainer.max_epochs=6", *QUIET)


@pytest.fixture(scope="module")
def folded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    """By seed and fold, runs on the folds of one split."""
    at = tmp_path_factory.mktemp("folds")
    asked = [(seed, fold) for seed in (0, 1) for fold in (0, 1)]
    words = (*WORDS, "data.folds=2")
    return {(s, f): train_tiny(*words, f"seed={s}", f"data.fold={f}", data=tiny, at=at).folder for s, f in asked}


@pytest.fixture(scope="module")
def official(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of two seeds."""
    at = tmp_path_factory.mktemp("official")
    return [train_tiny(*WORDS, f"seed={seed}", data=tiny, at=at).folder for seed in (0, 1)]


def read_validation_predictions(folder: Path) -> list[tuple[int, float]]:
    """Label and probability of class 1 of each validation image, as the run's predictions.csv has them."""
    with (folder / "predictions.csv").open(newline="") as file:
        return [(int(row["label"]), float(row["probability_1"])) for row in csv.DictReader(file)]


def compute_accuracy(predicted: list[tuple[int, float]]) -> float:
    return sum((p > 0.5) == bool(label) for label, p in predicted) / len(predicted)


def evaluate_as_json(*words: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    call_copycat("evaluate", *words, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def read_accuracies(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row.get("member", ""): row["value"] for row in rows if row["metric"] == "accuracy"}


def read_refusal(*words: object, capsys: pytest.CaptureFixture[str]) -> str:
    call_copycat("evaluate", *words, status=2)
    return capsys.readouterr().err


def test_an_ensemble_says_the_mean_of_what_its_members_say(
    official: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate_as_json(*official, capsys=capsys)
    said = [read_validation_predictions(folder) for folder in official]
    mean = [(a[0], (a[1] + b[1]) / 2) for a, b in zip(*said, strict=True)]
    assert read_accuracies(found["metrics"]) == {"": pytest.approx(compute_accuracy(mean))}
    assert list(read_accuracies(found["members"]).values()) == pytest.approx([compute_accuracy(one) for one in said])
    (against,) = found["against"]
    assert 0 < against["p"] <= 1


def test_the_folds_of_one_split_are_judged_on_images_that_each_did_not_train_on(
    folded: dict[tuple[int, int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate_as_json(*[folded[0, fold] for fold in (0, 1)], capsys=capsys)
    out = [pair for fold in (0, 1) for pair in read_validation_predictions(folded[0, fold])]
    assert len(out) == 16  # the whole training part of `tiny`
    assert read_accuracies(found["metrics"]) == {"": pytest.approx(compute_accuracy(out))}
    assert {row["images"] for row in found["metrics"]} == {16}
    assert not found["members"]


def test_folds_whose_training_images_give_other_class_weights_and_schedules_are_one_configuration(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*WORDS, "loss.class_weights=balanced", "scheduler=one_cycle", "data.batch_size=5", "data.folds=3")
    folders = [train_tiny(*words, f"data.fold={fold}", data=tiny, at=tmp_path).folder for fold in (0, 1, 2)]
    assert len({(folder / "config.yaml").read_text().partition("\nloss:")[2] for folder in folders}) > 1
    (row,) = [row for row in evaluate_as_json(*folders, capsys=capsys)["metrics"] if row["metric"] == "accuracy"]
    assert (row["part"], row["images"]) == ("all folds", 16)
    call_copycat("calibrate", tmp_path, "--json")
    (calibration,) = json.loads(capsys.readouterr().out)["calibrations"]
    assert calibration["fitted_on"] == "out of fold"
    assert "over n = 3 runs that differ in data.fold" in read_runs(tmp_path).to_markdown()


def test_seeds_on_the_folds_of_one_split_are_an_ensemble_that_is_cross_validated(
    folded: dict[tuple[int, int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate_as_json(*folded.values(), capsys=capsys)
    seeds = [[pair for fold in (0, 1) for pair in read_validation_predictions(folded[seed, fold])] for seed in (0, 1)]
    mean = [(a[0], (a[1] + b[1]) / 2) for a, b in zip(*seeds, strict=True)]
    assert read_accuracies(found["metrics"]) == {"": pytest.approx(compute_accuracy(mean))}
    assert read_accuracies(found["members"]) == {f"seed={s}": pytest.approx(compute_accuracy(seeds[s])) for s in (0, 1)}


def test_members_are_named_by_values_as_they_are_typed() -> None:
    configs: Sequence[Mapping[str, Any]] = [{"seed": 1, "normalize": None}, {"seed": 1, "normalize": "train"}]
    assert varying_names(configs) == ["normalize=null", "normalize=train"]


def test_runs_that_trained_on_each_other_s_validation_images_are_refused(
    folded: dict[tuple[int, int], Path], official: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = read_refusal(folded[0, 0], folded[1, 1], capsys=capsys)
    assert "expected each of the 2 folds" in lacking
    assert "data.fold=0" in lacking
    assert "expected each of the" in read_refusal(folded[0, 0], official[0], capsys=capsys)
    assert "expected runs that differ" in read_refusal(official[0], official[0], capsys=capsys)


def test_folds_between_which_an_image_was_added_are_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, words = shutil.copytree(tiny, tmp_path / "data"), (*WORDS, "data.folds=2")
    first = train_tiny(*words, "data.fold=0", data=data, at=tmp_path / "out").folder
    Image.fromarray(np.full((8, 8, 3), 77, dtype=np.uint8)).save(data / "train" / "dog" / "new.png")
    second = train_tiny(*words, "data.fold=1", data=data, at=tmp_path / "out").folder
    refusal = "divides into folds; 1 image differs: train/dog/new.png. Train all folds on the same images.\n"
    assert refusal in read_refusal(first, second, capsys=capsys)
    call_copycat("calibrate", tmp_path / "out", status=2)
    assert refusal in capsys.readouterr().err


def test_runs_that_were_validated_on_other_images_are_refused(
    official: list[Path], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny, tmp_path / "data")
    (data / "val" / "cat" / "0.png").unlink()
    other = train_tiny(*WORDS, data=data, at=tmp_path / "out").folder
    assert "expected runs that were validated on the same images" in read_refusal(official[0], other, capsys=capsys)


def test_members_may_differ_in_image_size_and_are_judged_on_other_images_too(
    official: list[Path], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = train_tiny(*WORDS, "data.image_size=12", data=tiny, at=tmp_path / "out").folder
    assert read_manifest(larger)["data"]["image_shape"] == [3, 12, 12]
    found = evaluate_as_json(official[0], larger, capsys=capsys)
    assert {row["images"] for row in found["metrics"]} == {8}
    for name, shade in (("cat", 240), ("dog", 10)):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.fromarray(np.full((40, 30, 3), shade, dtype=np.uint8)).save(tmp_path / "own" / name / "0.png")
    found = evaluate_as_json(official[0], larger, "data=folder", f"data.root={tmp_path / 'own'}", capsys=capsys)
    assert {(row["part"], row["images"]) for row in found["metrics"]} == {("all", 2)}


def test_without_predictions_csv_the_networks_are_asked(official: list[Path], tmp_path: Path) -> None:
    copies = [shutil.copytree(folder, tmp_path / str(place)) for place, folder in enumerate(official)]
    for folder in copies:
        (folder / "predictions.csv").unlink()
    asked, read = (
        evaluate_ensemble(open_completed_in(folders), []).combined.predictions["val"].probability
        for folders in (copies, official)
    )
    assert asked == pytest.approx(read, abs=1e-6)


def test_networks_are_not_asked_about_images_that_changed(tiny: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tiny, tmp_path / "data")
    runs = [train_tiny(*WORDS, f"seed={seed}", data=data, at=tmp_path / "out").folder for seed in (0, 1)]
    (data / "val" / "cat" / "0.png").unlink()
    assert len(evaluate_ensemble(open_completed_in(runs), []).combined.predictions["val"].label) == 8  # as recorded
    with pytest.raises(UserError, match=r"expected its own images; changed since the run: 1 image differs: val: val/c"):
        evaluate_ensemble(open_completed_in(runs), [], views=2)


def test_images_that_were_trained_on_too_are_left_out_of_a_second_figure(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny, tmp_path / "data")
    shutil.copy(data / "train" / "cat" / "0.png", data / "val" / "cat" / "again.png")
    runs = [train_tiny(*WORDS, f"seed={seed}", data=data, at=tmp_path / "out").folder for seed in (0, 1)]
    for words in (runs[:1], runs):
        rows = evaluate_as_json(*words, capsys=capsys)["metrics"]
        counts = {row["part"]: row["images"] for row in rows if row["metric"] == "accuracy"}
        assert counts.items() >= {"val": 9, "val, not in train": 8}.items()
    one, again = (
        [pair for place, pair in enumerate(read_validation_predictions(folder)) if place != 4] for folder in runs
    )
    mean = [(a[0], (a[1] + b[1]) / 2) for a, b in zip(one, again, strict=True)]
    (without,) = (r["value"] for r in rows if (r["part"], r["metric"]) == ("val, not in train", "accuracy"))
    assert without == pytest.approx(compute_accuracy(mean))
