"""A calibration is fitted on images that the network did not train on, and used wherever its run is."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

import copycat
from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.export import export
from copycat.deploy.export_formats import Format
from copycat.deploy.predictor import open_predictor
from copycat.inspection.reports.run_page import make_run_page
from copycat.training.components import build_data
from tests.support.calibration import OVERFITTED, read_calibration_file, read_recorded, write_hard_images
from tests.support.commands import call_copycat, run_copycat
from tests.support.run_folders import change_config
from tests.support.runs import QUIET, train_tiny


@pytest.fixture
def folder(overfitted: Path, tmp_path: Path) -> Path:
    """A copy of a run without a calibration."""
    return shutil.copytree(overfitted, tmp_path / "run")


@pytest.fixture(scope="module")
def folds(hard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two folds."""
    at = tmp_path_factory.mktemp("folds")
    for fold in (0, 1):
        words = (*OVERFITTED, *QUIET, "data.folds=2", f"data.fold={fold}")
        train_tiny(*words, data=hard, at=at).folder.rename(at / str(fold))
    shutil.rmtree(at / "default")
    return at


def calibrate(*words: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    call_copycat("calibrate", *words, "--json")
    (found,) = json.loads(capsys.readouterr().out)["calibrations"]
    return dict(found)


def minimize_loss(probability: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature of the smallest cross-entropy, by Brent's method on powers of the probabilities."""

    def loss(temperature: float) -> float:
        powers = probability ** (1 / temperature)
        return float(-np.log(powers[np.arange(len(label)), label] / powers.sum(1)).mean())

    return float(minimize_scalar(loss, bounds=(0.05, 50), method="bounded", options={"xatol": 1e-9}).x)


def predict_validation(folder: Path, *, calibrated: bool = True) -> np.ndarray:
    opened = open_completed(folder)
    images = build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"].images
    stacked = torch.stack([images[place] for place in range(images.shape[0])])
    with open_predictor(opened, calibrated=calibrated) as predictor:
        return predictor(stacked).numpy()


def test_the_temperature_is_fitted_on_the_validation_images_and_predictions_are_scaled_by_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probability, label = read_recorded(folder)
    found = calibrate(folder, "--coverage", "0.9", capsys=capsys)
    assert (found["fitted_on"], found["images"]) == ("validation", 48)
    temperature = found["temperature"]
    assert temperature == pytest.approx(minimize_loss(probability, label), rel=1e-4)
    assert temperature > 1  # it was too confident
    powers = probability ** (1 / temperature)
    expected = powers / powers.sum(1, keepdims=True)
    assert predict_validation(folder) == pytest.approx(expected, abs=1e-5)
    assert predict_validation(folder, calibrated=False) == pytest.approx(probability, abs=1e-6)
    scores = np.sort(1 - expected[np.arange(48), label])
    assert found["quantile"] == pytest.approx(scores[45 - 1], abs=1e-6)  # ⌈49 · 0.9⌉
    figures = {row["metric"]: row for row in found["metrics"]}
    assert figures["nll"]["after"] < figures["nll"]["before"]
    assert figures["nll"]["before"] == pytest.approx(-np.log(probability[np.arange(48), label]).mean(), rel=1e-5)


def test_images_whose_classes_have_another_order_now_have_the_run_s_labels(
    birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(birds, tmp_path / "images")
    folder = train_tiny(*OVERFITTED, "data.holdout=0.5", *QUIET, data=images, at=tmp_path / "runs").folder
    (folder / "predictions.csv").unlink()  # so that the network is asked
    before = calibrate(folder, capsys=capsys)["temperature"]
    (images / "duck").rename(images / "auk")
    call_copycat("calibrate", str(folder), status=2)
    assert "data: expected the run's classes, crow, duck, owl; got auk." in capsys.readouterr().err
    (images / "auk").rename(images / "duck")
    assert calibrate(folder, capsys=capsys)["temperature"] == before
    (moved,) = [line for line in (folder / "images.csv").read_text().splitlines() if line.startswith("val,0,")][:1]
    (images / moved.rpartition(",")[2]).unlink()
    call_copycat("calibrate", str(folder), status=2)
    assert f"{folder}: expected its own validation images; changed since the run: " in capsys.readouterr().err


def test_evaluate_rechecks_coverage_and_predict_prints_the_set_or_that_it_is_not_sure(
    folder: Path, hard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(folder, "--coverage", "0.9", "--cost-fn", "4", capsys=capsys)
    call_copycat("evaluate", folder)
    out = capsys.readouterr().out
    assert "val: the calibration was fitted on these images: nll, ece and coverage are optimistic" in out
    call_copycat("predict", folder, hard / "val" / "cat", hard / "val" / "dog", "--json")
    rows = json.loads(capsys.readouterr().out)["predictions"]
    true = ["cat"] * 24 + ["dog"] * 24
    sets = [{name for name in ("cat", "dog") if row[f"in_set/{name}"]} for row in rows]
    assert [row["class"] for row in rows] == ["dog" if row["probability/dog"] > 0.2 else "cat" for row in rows]
    for row, kept in zip(rows, sets, strict=True):
        assert row["set"] == (next(iter(kept)) if len(kept) == 1 else "not sure: cat, dog")
    assert {len(kept) for kept in sets} == {1, 2}
    call_copycat("evaluate", folder, "data=folder", f"data.root={hard}", "--json")
    metrics = {(row["part"], row["metric"]): row for row in json.loads(capsys.readouterr().out)["metrics"]}
    coverage = metrics["val", "coverage"]
    assert coverage["value"] == pytest.approx(np.mean([name in kept for name, kept in zip(true, sets, strict=True)]))
    assert coverage["value"] >= 45 / 48
    assert coverage["low"] < coverage["value"] < coverage["high"]
    assert metrics["val", "set_size"]["value"] == pytest.approx(np.mean([len(kept) for kept in sets]))
    costs = [4 * (t == "dog" != row["class"]) + (t == "cat" != row["class"]) for t, row in zip(true, rows, strict=True)]
    assert metrics["val", "cost"]["value"] == pytest.approx(np.mean(costs))
    call_copycat("evaluate", folder, "--uncalibrated", "--json")
    assert not any(row["metric"] == "coverage" for row in json.loads(capsys.readouterr().out)["metrics"])


def test_images_that_the_calibration_did_not_see_tell_whether_the_coverage_is_what_they_allow(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(folder, "--coverage", "0.8", capsys=capsys)
    other = write_hard_images(tmp_path / "other", train=0, val=30, seed=9)
    shutil.rmtree(other / "train")
    call_copycat("evaluate", folder, "data=folder", f"data.root={other / 'val'}")
    out = capsys.readouterr().out
    assert "all: coverage 0." in out
    assert "95 % beta-binomial interval for sets of coverage 0.8" in out


def test_half_of_the_validation_images_are_left_to_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = calibrate(folder, "--half", "--coverage", "0.8", capsys=capsys)
    assert (found["fitted_on"], found["images"]) == ("half of validation", 24)
    call_copycat("evaluate", folder, "--json")
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)["metrics"] if "not cal" in row["part"]}
    assert rows["coverage"]["images"] == 24
    assert rows["coverage"]["part"] == "val, not calibrated on"


def test_a_calibration_that_was_fitted_on_other_images_is_named_as_it_is_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, opening = [], []
    for words in ((), ("--half",), ("--half",)):
        call_copycat("calibrate", folder, *words)
        printed = capsys.readouterr().out.splitlines()
        opening.append(printed[0].partition("fitted on ")[2])
        lines.append([line for line in printed if line.startswith("replaced")])
    assert opening == ["the 48 validation images", *["half of the validation images, 24 images"] * 2]
    assert lines == [[], ["replaced the calibration that was fitted on 48 images, validation"], []]


def test_folds_are_calibrated_on_the_predictions_of_the_run_that_did_not_train_on_an_image(
    folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = calibrate(folds, "--coverage", "0.8", capsys=capsys)
    probability, label = (
        np.concatenate(parts) for parts in zip(*(read_recorded(folds / n) for n in "01"), strict=True)
    )
    assert (found["fitted_on"], found["images"]) == ("out of fold", len(label))
    assert found["temperature"] == pytest.approx(minimize_loss(probability, label), rel=1e-4)
    assert [read_calibration_file(folds / n)["temperature"] for n in "01"] == [found["temperature"]] * 2
    call_copycat("evaluate", folds, "--json")
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)["metrics"]}
    powers = probability ** (1 / found["temperature"])
    expected = -np.log((powers / powers.sum(1, keepdims=True))[np.arange(len(label)), label]).mean()
    assert rows["nll"]["value"] == pytest.approx(expected, rel=1e-5)
    assert rows["coverage"]["images"] == len(label)


def test_a_run_on_all_images_is_calibrated_by_the_folds_of_its_configuration(
    folder: Path, folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = calibrate(folder, "--out-of-fold", folds, capsys=capsys)
    assert (found["runs"], found["fitted_on"], found["images"]) == ([str(folder)], "out of fold", 100)
    call_copycat("calibrate", folder, "--out-of-fold", status=2)
    assert "expected a run of a sweep of folds" in capsys.readouterr().err


def test_folds_without_the_normalization_of_a_run_do_not_calibrate_it(
    folder: Path, folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(folder, lambda config: config.update(normalize={"mean": [0.5], "std": [0.2]}))
    call_copycat("calibrate", folder, "--out-of-fold", folds, status=2)
    assert "where normalize differ." in capsys.readouterr().err


def test_a_table_says_that_validation_images_may_have_chosen_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("calibrate", folder, "--recall", "0.8", "--coverage", "0.9")
    out = capsys.readouterr().out
    assert "validation images may also have chosen the epoch or the settings: then these figures are optimistic" in out
    assert "with 48 images, 95 % of such calibrations cover between" in out
    assert "recall of dog" in out
    assert out.splitlines()[-1] == str(folder / "calibration.json")


def test_a_calibrated_run_is_rerun_to_the_same_bits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = copycat.load_run(folder).metrics
    calibrate(folder, capsys=capsys)
    call_copycat("rerun", folder, "--check")
    assert "calibration" not in capsys.readouterr().out
    copy = copycat.load_run(folder).rerun()
    assert not copy.comparison.differences
    assert list(copycat.load_run(folder).metrics) == list(before)


def test_a_calibration_of_other_weights_is_refused(
    folder: Path, hard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(folder, capsys=capsys)
    other = train_tiny(*OVERFITTED, *QUIET, "seed=5", data=hard, at=tmp_path / "runs").folder
    shutil.copy(folder / "calibration.json", other)
    with pytest.raises(
        UserError, match=r"calibration\.json: expected a calibration of these weights; got one of others"
    ):
        predict_validation(other)
    predict_validation(other, calibrated=False)
    calibrate(other, capsys=capsys)  # which replaces it


@pytest.mark.parametrize(
    ("form", "word", "classes"),
    [
        ("safetensors", "loss=bce", 2),
        ("safetensors", "loss=cross_entropy", 3),
        pytest.param("safetensors", "loss=focal", 2, marks=pytest.mark.slow),
        pytest.param("safetensors", "model=linear", 2, marks=pytest.mark.slow),
        pytest.param("torch", "loss=cross_entropy", 2, marks=pytest.mark.slow),
        pytest.param("onnx", "loss=bce", 2, marks=pytest.mark.slow),
        pytest.param("openvino", "loss=cross_entropy", 3, marks=pytest.mark.slow),
    ],
)
def test_an_export_says_what_the_calibrated_run_says(
    form: Format, word: str, classes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_hard_images(tmp_path / "data", classes=classes)
    folder = train_tiny(*OVERFITTED, *QUIET, word, data=data, at=tmp_path / "runs").folder
    calibrate(folder, "--coverage", "0.9", "--recall", "0.7", "--class", "cat", capsys=capsys)
    done = export(open_completed(folder), form, to=tmp_path / "to")  # compares with the predictor, image by image
    assert done.difference is not None
    assert max(done.difference, done.difference_on_files) <= 1e-5
    assert predict_validation(folder) != pytest.approx(predict_validation(folder, calibrated=False), abs=1e-3)
    card = (tmp_path / "to" / "README.md").read_text()
    assert f"a temperature of {read_calibration_file(folder)['temperature']:.4g}" in card
    image = next((data / "val").rglob("*.png"))
    used = run_copycat(at=tmp_path, program=USE.format(folder=str(tmp_path / "to"), image=str(image)))
    assert used.returncode == 0, used.stderr
    call_copycat("predict", folder, image, "--json")
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    lines = used.stdout.splitlines()
    assert lines[-2:] == [f"predicted: {row['class']}", f"set: {row['set']}"]
    assert float(lines[0].split()[1]) == pytest.approx(row["probability/cat"], abs=1e-4)


USE = """
import runpy, sys
sys.modules['copycat'] = None
sys.argv, sys.path[0] = ['use.py', {image!r}], {folder!r}
runpy.run_path({folder!r} + '/use.py', run_name='__main__')
sys.exit()
"""


def test_an_ensemble_is_the_mean_of_calibrated_members_without_sets(
    folder: Path, hard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train_tiny(*OVERFITTED, *QUIET, "seed=5", data=hard, at=tmp_path / "runs").folder
    for member in (folder, other):
        calibrate(member, "--coverage", "0.9", capsys=capsys)
    call_copycat("evaluate", folder, other, "--json")
    found = json.loads(capsys.readouterr().out)
    mean = (predict_validation(folder) + predict_validation(other)) / 2
    accuracy = (mean.argmax(1) == read_recorded(folder)[1]).mean()
    assert {row["metric"]: row["value"] for row in found["metrics"]}["accuracy"] == pytest.approx(accuracy)
    assert not any(row["metric"] == "coverage" for row in found["metrics"])


def test_a_sweep_that_lacks_a_fold_is_refused_and_its_runs_have_their_validation_images(
    folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folds / "0", tmp_path / "sweep" / "0")
    line = "expected each of the 2 folds to be completed; got data.fold=0. Type copycat resume SWEEP, or copycat "
    call_copycat("calibrate", tmp_path / "sweep", status=2)
    assert line in capsys.readouterr().err
    assert calibrate(tmp_path / "sweep", "--validation", capsys=capsys)["images"] == 50


def test_a_run_of_ones_own_with_a_calibration_of_somebody_else_says_so(
    folder: Path, hard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(folder, capsys=capsys)
    content = read_calibration_file(folder)
    (folder / "calibration.json").write_text(json.dumps({**content, "temperature": 2}))
    call_copycat("predict", folder, hard / "val" / "cat" / "00.png")
    printed = capsys.readouterr()
    assert "calibration.json: not made by you, or changed since; it is used" in printed.err
    assert "calibrated by a temperature of 2 on 48 images" in printed.out


def test_training_on_removes_the_calibration_of_the_former_weights(hard: Path, tmp_path: Path) -> None:
    run = copycat.load_run(train_tiny(*OVERFITTED, "logger=none", data=hard, at=tmp_path).folder)
    run.calibrate()
    assert (run.folder / "calibration.json").exists()
    run.resume(max_epochs=41)
    assert not (run.folder / "calibration.json").exists()


def test_python_calibrates_and_predicts_sets(folder: Path, hard: Path) -> None:
    run = copycat.load_run(folder)
    table = run.calibrate(coverage=0.9, costs=[[0, 1], [4, 0]])
    assert table["metric"] == ["nll", "ece", "cost", "coverage", "set_size", "not_sure"]
    found = run.predict([hard / "val" / "cat" / "00.png", hard / "val" / "dog" / "00.png"])
    assert found.sets is not None
    assert found.sets.shape == (2, 2)
    assert found.labels.tolist() == (found.probabilities[:, 1] > 0.2).astype(int).tolist()


def test_a_report_has_the_reliability_before_and_after(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate(folder, "--coverage", "0.9", capsys=capsys)
    sections = {section.title: section for section in make_run_page(folder).sections}
    names = [image.name for image in sections["Curves of predictions (validation)"].images]
    assert names == ["roc-val", "reliability-val", "reliability-calibrated-val"]
    assert "Sets (lac) with a stated coverage of 0.9" in sections["Calibration"].note
