"""Runs side by side: how sure their difference is."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from copycat.config.errors import UserError
from copycat.records.predictions import Predictions, read_predictions, write_predictions
from copycat.tables.comparison import ComparisonLine, RunComparison, unique_titles
from copycat.tables.comparison_table import assess_accuracies, comparability_notes, find_close
from copycat.tables.grouping import RecordedRun, varying_keys
from copycat.tables.statistics import mcnemar_p_value
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny


@pytest.mark.parametrize(("first", "second"), list(product(range(12), range(12))))
def test_mcnemar_s_p_is_that_of_the_binomial_test(first: int, second: int) -> None:
    from scipy.stats import binomtest  # takes a second

    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_p_value(first, second) == pytest.approx(expected, rel=1e-12)


def test_a_run_is_not_compared_with_itself_by_another_name(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert list(unique_titles([tmp_path / "link", tmp_path / "other"])) == ["link", "other"]
    with pytest.raises(UserError, match="expected runs that differ; got one of them twice"):
        unique_titles([tmp_path / "one", tmp_path / "link"])


def test_images_of_several_classes_are_tested_by_the_exact_match(tmp_path: Path) -> None:
    label = np.array([[1, 0, 0]] * 4)
    wrong = {"spread": [[1, 1, 0]] * 4, "massed": [[0, 1, 1]] * 2 + [[1, 0, 0]] * 2}  # accuracy 8/12 and 6/12
    manifest = {"data": {"classes": [*"abc"], "multi_label": True}, "provenance": {"data": {"val": "digest"}}}
    for name, predicted in wrong.items():
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name, {"val": Predictions(label, np.array(predicted, dtype=np.float32))})
    folders = {name: tmp_path / name for name in wrong}
    certainty = assess_accuracies(RunComparison(folders, {}, {}, dict.fromkeys(wrong, manifest)))
    assert certainty.sentences[-1].startswith("not distinguishable from massed, the best in exact match: spread")
    assert not certainty.close


def test_a_run_that_was_recorded_before_there_was_a_key_has_its_default() -> None:
    old, new = {"seed": 1}, {"seed": 1, "decay_bias_and_norm": True, "data.cache": True}
    assert RunComparison({}, {"old": old, "new": new}, {}, {}).keys(equal=False) == ["data.cache"]
    first, second = (RecordedRun({}, config, digest="") for config in (old, new))
    assert varying_keys([first, second]) == ["data.cache"]
    assert [first.label("data.cache"), second.label("data.cache")] == [False, True]


def test_two_runs_on_the_same_images_are_compared_image_by_image(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        train_tiny(f"optimizer.lr={rate}", "trainer.max_epochs=40", *QUIET, data=tiny, at=tmp_path).folder
        for rate in (1e-9, 0.1)
    ]
    one, other = (read_predictions(folder, classes=2)["val"].is_correct for folder in folders)
    alone = (one & ~other).sum(), (other & ~one).sum()
    call_copycat("compare", *folders)
    out = capsys.readouterr().out
    assert f"classifies {alone[0]} correctly, and only {folders[1].name} {alone[1]}:" in out
    assert f"p = {mcnemar_p_value(*alone):.2g} by McNemar's exact test" in out
    assert "*: the best value" in out
    assert any(line.startswith("│ final/val/loss") and " *" in line for line in out.splitlines())
    assert "no * at" not in out
    assert "val/accuracy with its 95 % interval (Wilson): " in out


def test_runs_on_other_images_are_not(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("trainer.max_epochs=1", "data.folds=4", *QUIET)
    folders = [train_tiny(*words, f"data.fold={fold}", data=tiny, at=tmp_path).folder for fold in (0, 1)]
    call_copycat("compare", *folders)
    out = capsys.readouterr().out
    assert "McNemar" not in out
    assert "│ final/val/loss" in out
    assert " *" not in out.partition("\n*: ")[0]
    assert "no * at metrics of train, val: the runs have other images there, or other classes" in out


def test_a_note_names_the_parts_of_other_images_alone() -> None:
    lines = [ComparisonLine("metric", name, {}, comparable=False) for name in ("best/epoch", "best/val/loss")]
    (note,) = comparability_notes(lines)
    assert note == "no * at metrics of val: the runs have other images there, or other classes"


def test_runs_that_are_not_distinguishable_from_the_best_accuracy_are_marked(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        train_tiny("optimizer.lr=0.1", f"seed={seed}", "trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path).folder
        for seed in (1, 2, 3)
    ]
    correct = {folder.name: read_predictions(folder, classes=2)["val"].is_correct for folder in folders}
    best, close = find_close(correct)
    assert close  # of 8 images no test tells such runs apart
    call_copycat("compare", *folders)
    out = capsys.readouterr().out
    assert f"not distinguishable from {best}, the best in final/val/accuracy (†): {', '.join(close)}, by McNemar" in out
    (line,) = (line for line in out.splitlines() if line.startswith("│ final/val/accuracy"))
    counts = {name: int(one.sum()) for name, one in correct.items()}
    is_one_value = len({*counts.values()}) == 1
    assert line.count("†") == sum(is_one_value or counts[name] < counts[best] for name in close)


def test_a_run_that_is_right_where_the_best_is_not_is_told_apart_by_enough_images() -> None:
    best = np.ones(40, dtype=bool)
    near, far = best.copy(), best.copy()
    near[:3], far[:12] = False, False
    assert find_close({"far": far, "near": near, "best": best}) == ("best", ["near"])
