"""Metrics of the group `metrics` beside formulas in NumPy, for two classes and for more, defined and undefined."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.functional import classification as functional

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.models.added_metrics import AddedMetric, build_added_metrics, class_tags
from copycat.models.stage_metrics import StageMetrics
from tests.support.runs import compose_quickly

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]
TORCHMETRICS = "torchmetrics.classification"


def build(config: Mapping[str, Any], *, classes: int) -> list[AddedMetric]:
    return build_added_metrics(config, NAMES[:classes])


def measure(metrics: list[AddedMetric], probability: Floats, label: Ints, *, classes: int) -> dict[str, float]:
    """Measure as a run does: in two batches, with one probability for two classes."""
    stage = StageMetrics("val", classes=classes, reduction="mean", added=metrics)
    known = {f"val/{name}" for metric in metrics for name in metric.columns}
    values = torch.from_numpy(probability[:, 1] if classes == 2 else probability).float()
    for some in (slice(None, 1), slice(1, None)):
        if len(label[some]):
            stage.update(loss=torch.tensor(0.0), probability=values[some], label=torch.from_numpy(label[some]))
    return {name.removeprefix("val/"): value for name, value in stage.compute()[0].items() if name in known}


def matthews(said: Ints, true: Ints) -> float:
    """The correlation of the one-hot matrices: Gorodkin's definition, not his formula."""
    a, b = (np.eye(8)[each] - np.eye(8)[each].mean(0) for each in (said, true))
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norm) if norm > 1e-12 else 0.0


def kappa(said: Ints, true: Ints) -> float:
    chance = sum((said == k).mean() * (true == k).mean() for k in range(8))
    return float(((said == true).mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def average_precision(score: Floats, true: NDArray[np.bool_]) -> float:
    """Each positive image's precision at its own score as the threshold, ties included."""
    return float(np.mean([true[score >= s].mean() for s in score[true]]))


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """A probability of exactly 1 has a bin of its own, as in torchmetrics."""
    bins = np.minimum(np.floor(confidence.astype(np.float32) * np.float32(15)), 15)
    total = sum(abs((confidence - correct)[bins == k].sum()) for k in np.unique(bins))
    return float(total / len(confidence))


def expected_scores(probability: Floats, label: Ints, *, classes: int) -> dict[str, float]:
    said = probability.argmax(1)
    binary = classes == 2
    kinds = [1] if binary else [k for k in range(classes) if ((said == k) | (label == k)).any()]
    specificity = [np.mean(said[label != k] != k) if (label != k).any() else 0.0 for k in kinds]
    top, correct = (probability[:, 1], label == 1) if binary else (probability.max(1), said == label)
    expected = {
        "mcc": matthews(said, label),
        "kappa": kappa(said, label),
        "brier": float(((probability - np.eye(classes)[label]) ** 2).sum(1).mean() / (2 if binary else 1)),
        "ece": calibration_error(top, correct),
        "specificity": float(np.mean(specificity)),
    }
    if len(set(label.tolist())) == classes:
        areas = [average_precision(probability[:, k], label == k) for k in ([1] if binary else range(classes))]
        expected["average_precision"] = float(np.mean(areas))
    return {name: value for name, value in expected.items() if value == value}


FULL = compose_quickly(["metrics=full"]).config


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6), images=st.integers(1, 40), present=st.integers(1, 6))
def test_full_has_the_values_of_formulas_and_no_value_where_they_have_none(
    seed: int, classes: int, images: int, present: int
) -> None:
    """Probabilities in eighths of two, or in any shares of more classes; some classes may lack images."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, min(present, classes), images)
    probability = draw.dirichlet(np.full(classes, 0.7), images).astype(np.float32).astype(np.float64)
    if classes == 2:
        first = draw.integers(0, 9, images) / 8
        probability = np.stack([1 - first, first], axis=1)
    found = measure(build(FULL, classes=classes), probability, label, classes=classes)
    assert found == pytest.approx(expected_scores(probability, label, classes=classes), abs=2e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 8), images=st.integers(1, 40))
def test_each_class_and_the_top_five_have_the_values_that_counting_gives(seed: int, classes: int, images: int) -> None:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, classes, images)
    probability = draw.dirichlet(np.ones(classes), images).astype(np.float32).astype(np.float64)
    said = probability.argmax(1)
    expected: dict[str, float] = {}
    for k, name in enumerate(NAMES[:classes]):
        hits = ((said == k) & (label == k)).sum()
        wholes = {"precision": (said == k).sum(), "recall": (label == k).sum()}
        expected |= {f"{metric}/{name}": hits / whole if whole else 0.0 for metric, whole in wholes.items()}
        whole = wholes["precision"] + wholes["recall"]
        expected[f"f1/{name}"] = 2 * hits / whole if whole else 0.0
    options = "per_class"
    if classes > 5:
        options = "[per_class,top_k]"
        ranks = (probability > probability[np.arange(images), label][:, None]).sum(1)
        expected["top5_accuracy"] = float((ranks < 5).mean())
    config = compose_quickly([f"metrics={options}"]).config
    found = measure(build(config, classes=classes), probability, label, classes=classes)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.1])
def test_a_constant_prediction_has_no_correlation(share: float) -> None:
    """torchmetrics' own class gives 0.41 here."""
    probability = np.tile([1 - share, share], (3, 1))
    found = measure(build(compose(["metrics=mcc"]).config, classes=2), probability, np.array([0, 1, 1]), classes=2)
    assert found == {"mcc": 0.0}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "target",
    ["CohenKappa", "MulticlassCohenKappa", "Accuracy", "MulticlassJaccardIndex", "MulticlassF1Score", "AUROC"],
)
def test_task_and_classes_are_filled_in(target: str, classes: int) -> None:
    config = {"metrics": {"own": {"_target_": f"{TORCHMETRICS}.{target}"}}}
    (metric,) = build(config, classes=classes)
    label = np.arange(12) % classes
    found = measure([metric], np.eye(classes)[label], label, classes=classes)
    assert found == {"own": 1.0}
    assert metric.higher_is_better


@pytest.mark.parametrize(
    ("node", "classes", "line"),
    [
        ({"_target_": f"{TORCHMETRICS}.ConfusionMatrix"}, 2, "gives shape (2, 2)"),
        ({"_target_": f"{TORCHMETRICS}.BinaryROC"}, 2, "gives a tuple"),
        ({"_target_": f"{TORCHMETRICS}.BinaryCohenKappa"}, 3, "refuses this: "),
        (
            {"_target_": f"{TORCHMETRICS}.CohenKapa"},
            2,
            f"Did you mean {TORCHMETRICS}.CohenKappa?",
        ),
        ({"_target_": f"{TORCHMETRICS}.CohenKappa", "wights": None}, 2, "Did you mean metrics.own.weights?"),
        (
            {"_target_": f"{TORCHMETRICS}.CohenKappa", "weights": "cubic"},
            2,
            "metrics.own.weights: expected linear, none, quadratic or null; got 'cubic'.",
        ),
        ({"_target_": f"{TORCHMETRICS}.FBetaScore", "beta": -1.0}, 2, "refuses this: Expected argument `beta`"),
        ({"_target_": "torch.nn.ReLU"}, 2, "expected a class of torchmetrics; got 'torch.nn.ReLU'"),
        ({"_target_": f"{TORCHMETRICS}.MulticlassAccuracy", "top_k": 3}, 3, "expected less than the 3 classes; got 3"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(node: dict[str, Any], classes: int, line: str) -> None:
    with pytest.raises(UserError, match=re.escape(line)) as caught:
        build({"metrics": {"own": node}}, classes=classes)
    assert str(caught.value).startswith("metrics.own")
    assert "\n" not in str(caught.value)


def test_a_value_for_all_classes_may_not_replace_one_of_every_run() -> None:
    node = {"_target_": f"{TORCHMETRICS}.BinaryRecall"}
    with pytest.raises(UserError, match=r"metrics\.recall: expected another name, as every run has recall"):
        build({"metrics": {"recall": node}}, classes=2)


@settings(max_examples=50)
@given(st.lists(st.text(min_size=0, max_size=6), min_size=2, max_size=6, unique=True))
def test_classes_have_names_that_metrics_csv_and_overrides_take(classes: list[str]) -> None:
    tags = class_tags(classes)
    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch(r"[\w+-][\w.+-]*", tag) for tag in tags)


def test_runs_of_earlier_versions_have_no_added_metrics() -> None:
    for config in ({}, {"metrics": None}, {"metrics": {"own": None}}):
        assert build(config, classes=2) == []


# ----- several classes an image


def test_metrics_of_several_classes_an_image_are_those_of_torchmetrics_for_them() -> None:
    config = compose_quickly(["metrics=[average_precision,ece,per_class]"]).config
    nodes = {**config["metrics"], "exact": {"_target_": f"{TORCHMETRICS}.ExactMatch"}}
    draw = np.random.default_rng(0)
    label, probability = draw.integers(2, size=(30, 3)), draw.random((30, 3), dtype=np.float32)
    del nodes["ece"]  # of one class an image alone, in torchmetrics too
    metrics = build_added_metrics({"metrics": nodes}, NAMES[:3], multi_label=True)
    found = {
        name: value
        for metric in metrics
        for name, value in metric.compute(torch.from_numpy(probability), torch.from_numpy(label)).items()
    }
    values, true = torch.from_numpy(probability), torch.from_numpy(label)
    theirs = functional.multilabel_average_precision(values, true, num_labels=3)
    assert found["average_precision"] == pytest.approx(float(theirs))
    assert found["exact"] == pytest.approx(((probability > 0.5) == label).all(1).mean())
    recalls = functional.multilabel_recall(values, true, num_labels=3, average="none").tolist()
    assert [found[f"recall/{name}"] for name in NAMES[:3]] == pytest.approx(recalls)


@pytest.mark.parametrize("name", ["mcc", "brier", "kappa", "ece"])
def test_a_metric_of_one_class_an_image_is_refused_in_one_line_for_several(name: str) -> None:
    config = compose_quickly([f"metrics={name}"]).config
    with pytest.raises(UserError, match=rf"^metrics\.{name}: expected a class .*metrics\.{name}=null\.$"):
        build_added_metrics(config, NAMES[:3], multi_label=True)
