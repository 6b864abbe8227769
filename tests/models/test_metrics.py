"""Metrics beside counts by hand, over batches of any sizes."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
    multilabel_accuracy,
    multilabel_auroc,
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

from copycat.config.compose import Request
from copycat.models.metrics import SCORE_NAMES, compute_scores, metric_columns
from copycat.models.stage_metrics import StageMetrics
from copycat.records.metrics_csv import read_history
from copycat.training.train import train
from tests.support.runs import compose_quickly

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def found_in_batches(probability: Floats, label: Ints, *, classes: int, size: int) -> dict[str, float]:
    metrics = StageMetrics("val", classes=classes, reduction="mean")
    for start in range(0, len(label), size):
        piece = slice(start, start + size)
        metrics.update(
            loss=torch.tensor(0.0),
            probability=torch.from_numpy(probability[piece]),
            label=torch.from_numpy(label[piece]),
        )
    return {name.removeprefix("val/"): value for name, value in metrics.compute()[0].items()}


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def by_counting(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Precision, recall, F1."""
    hits = int((said & true).sum())
    return ratio(hits, int(said.sum())), ratio(hits, int(true.sum())), ratio(2 * hits, int(said.sum() + true.sum()))


def by_pairs(score: Floats, true: NDArray[np.bool_]) -> float:
    """AUROC: how often a positive scores above a negative, a tie being half."""
    pairs = [(p > n) + 0.5 * (p == n) for p in score[true] for n in score[~true]]
    return float(np.mean(pairs))


@settings(max_examples=60)
@given(
    images=st.lists(st.tuples(st.integers(0, 16), st.booleans()), min_size=2, max_size=40),
    size=st.integers(1, 45),
)
def test_two_classes_have_the_metrics_that_counting_gives(images: list[tuple[int, bool]], size: int) -> None:
    """Probabilities in sixteenths, so that ties and exact halves occur."""
    probability = np.array([p / 16 for p, _ in images], dtype=np.float32)
    true = np.array([y for _, y in images])
    true[:2] = [True, False]
    found = found_in_batches(probability, true.astype(np.int64), classes=2, size=size)
    said = probability > 0.5
    precision, recall, f1 = by_counting(said, true)
    assert found == pytest.approx(
        {
            "loss": 0.0,
            "accuracy": float((said == true).mean()),
            "balanced_accuracy": float((said[true].mean() + (~said)[~true].mean()) / 2),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "auroc": by_pairs(probability, true),
        },
        abs=1e-6,
    )


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(3, 6),
    count=st.integers(6, 40),
    size=st.integers(1, 45),
)
def test_more_classes_have_the_macro_averages_that_counting_gives(
    seed: int, classes: int, count: int, size: int
) -> None:
    draw = np.random.default_rng(seed)
    label = np.concatenate([np.arange(classes), draw.integers(0, classes, count - classes)])
    probability = draw.dirichlet(np.ones(classes), count).astype(np.float32)
    found = found_in_batches(probability, label, classes=classes, size=size)
    said = probability.argmax(1)
    each = np.array([by_counting(said == k, label == k) for k in range(classes)])
    expected = dict(zip(("precision", "recall", "f1"), each.mean(0).tolist(), strict=True))
    pairs = [by_pairs(probability[:, k], label == k) for k in range(classes)]
    expected |= {"loss": 0.0, "accuracy": float((said == label).mean()), "auroc": float(np.mean(pairs))}
    expected["balanced_accuracy"] = float(np.mean([(said[label == k] == k).mean() for k in range(classes)]))
    assert found == pytest.approx(expected, abs=1e-5)


# ----- the loss


@given(loss=st.floats(0, 2.0**100, width=32), size=st.integers(1, 300))
def test_the_mean_loss_of_one_batch_has_that_loss_s_bits(loss: float, size: int) -> None:
    for reduction in ("mean", "sum"):
        metrics = StageMetrics("train", classes=2, reduction=reduction)
        metrics.update(
            loss=torch.tensor(loss), probability=torch.tensor([0.2]).expand(size), label=torch.zeros(size).long()
        )
        assert np.float32(_quietly(metrics)["train/loss"]).tobytes() == np.float32(loss).tobytes()


@pytest.mark.parametrize(("reduction", "expected"), [("mean", (3 * 1.0 + 3 * 4.0 + 1 * 9.0) / 7), ("sum", 14.0)])
def test_over_batches_a_mean_counts_images_and_a_sum_adds_up(reduction: str, expected: float) -> None:
    metrics = StageMetrics("train", classes=2, reduction=reduction)
    for _ in range(2):  # the second time from the start
        for loss, size in ((1.0, 3), (4.0, 3), (9.0, 1)):
            metrics.update(loss=torch.tensor(loss), probability=torch.full((size,), 0.5), label=torch.arange(size) % 2)
        assert metrics.batches == 3
        assert metrics.compute()[0]["train/loss"] == pytest.approx(expected, rel=1e-6)
        assert metrics.batches == 0


# ----- at the edge


@pytest.mark.parametrize("label", [0, 1])
def test_a_part_with_one_class_only_gives_finite_metrics(label: int) -> None:
    metrics = StageMetrics("val", classes=2, reduction="mean")
    metrics.update(loss=torch.tensor(1.0), probability=torch.tensor([0.1, 0.9]), label=torch.tensor([label, label]))
    found = _quietly(metrics)
    assert all(np.isfinite(value) for value in found.values())
    assert found["val/accuracy"] == 0.5


def test_a_validation_part_without_positives_neither_stops_a_run_nor_warns(tmp_path: Path) -> None:
    """Warnings are errors here, and what a run warns of goes to its train.log."""
    words = ["callbacks=none", "logger=none", "trainer.accelerator=cpu", "trainer.max_epochs=2"]
    config = compose_quickly([*words, f"output_dir={tmp_path}"]).config
    outcome = train(Request(config={**config, "data": {"_target_": "tests.support.parts.LackingValidation"}}))
    assert outcome.status == "completed"
    assert "samples in targets" not in (outcome.folder / "train.log").read_text()
    assert [row["val/recall"] for row in read_history(outcome.folder)] == [0.0, 0.0]


def _quietly(metrics: StageMetrics) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No (positive|negative) samples in targets")  # as `logged` does in a run
        return metrics.compute()[0]


@pytest.mark.parametrize("several", [False, True])
def test_columns_name_every_metric_and_begin_with_the_training_loss(several: bool) -> None:
    found = metric_columns(["train", "val"], several_batches=several)
    wanted = {f"{stage}/{name}" for stage in ("train", "val") for name in ("loss", *SCORE_NAMES)}
    assert found[0] == "train/loss"
    assert sorted(found) == sorted(wanted | ({"train/loss_mean"} if several else set()))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_part_that_lacks_a_class_has_no_auroc_and_no_balanced_accuracy(label: int, classes: int) -> None:
    metrics = StageMetrics("val", classes=classes, reduction="mean")
    said = torch.tensor([0.2, 0.7]) if classes == 2 else torch.tensor([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    metrics.update(loss=torch.tensor(0.5), probability=said, label=torch.tensor([label, label]))
    found = _quietly(metrics)
    assert found.keys() == {"val/loss", "val/accuracy", "val/precision", "val/recall", "val/f1"}


def test_who_always_says_the_commoner_class_is_half_right_when_classes_count_alike() -> None:
    metrics = StageMetrics("val", classes=2, reduction="mean")
    label = (torch.arange(50) < 33).long()  # as in the lecture's 50: 33 cats
    metrics.update(loss=torch.tensor(0.5), probability=torch.full((50,), 0.9), label=label)
    found = _quietly(metrics)
    assert found["val/accuracy"] == pytest.approx(0.66)
    assert found["val/balanced_accuracy"] == 0.5


# ----- many classes


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remember the number of elements of the largest tensor that an operation gives."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.elements = max(self.elements, found.numel())
        return found


def test_no_tensor_grows_with_the_square_of_the_classes() -> None:
    """A run is deterministic by default, in which case a count by torchmetrics takes images × classes² numbers."""
    images, classes = 20, 500
    probability, label = torch.rand(1, images, classes).softmax(2), torch.arange(images)[None]
    torch.use_deterministic_algorithms(True)
    try:
        with LargestTensor() as largest:  # type: ignore[no-untyped-call]
            compute_scores(probability, label, classes=classes)
    finally:
        torch.use_deterministic_algorithms(False)
    assert largest.elements <= images * classes


@pytest.mark.parametrize("ranked", [1, 100, 2**18])
@pytest.mark.parametrize("missing", [False, True])
def test_many_classes_have_the_scores_that_torchmetrics_gives(
    missing: bool, ranked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.models.auroc.MAX_SORTED", ranked)
    generator = torch.Generator().manual_seed(5)
    probability = (torch.randn(90, 12, generator=generator).softmax(1) * 32).round() / 32  # some are equal
    label = torch.arange(90) % (10 if missing else 12)
    found = {name: value for name, (value,) in compute_scores(probability[None], label[None], classes=12).items()}
    assert found["accuracy"] == float(multiclass_accuracy(probability, label, 12, average="micro"))
    for name, score in (
        ("precision", multiclass_precision),
        ("recall", multiclass_recall),
        ("f1", multiclass_f1_score),
    ):
        assert found[name] == float(score(probability, label, 12))
    if missing:
        assert np.isnan([found["auroc"], found["balanced_accuracy"]]).all()
    else:
        assert found["auroc"] == pytest.approx(float(multiclass_auroc(probability, label, 12)), abs=1e-6)


# ----- precision


def run_one_step(dtype: torch.dtype, *, batches: int) -> dict[str, float]:
    metrics = StageMetrics("val", classes=2, reduction="mean")
    for part in torch.arange(12).chunk(batches):
        probability = (torch.arange(12, dtype=dtype)[part] + 0.1) / 12
        metrics.update(loss=probability.sum() / 7, probability=probability, label=part % 3 // 2)
    return _quietly(metrics)


@pytest.mark.parametrize("batches", [1, 3])
def test_metrics_of_float64_keep_all_digits(batches: int) -> None:
    found = run_one_step(torch.float64, batches=batches)
    parts = (torch.arange(12, dtype=torch.float64) + 0.1).div(12).chunk(batches)
    losses = [(part.sum() / 7).item() for part in parts]
    assert found["val/loss"] == (losses[0] if batches == 1 else sum(loss * len(parts[0]) for loss in losses) / 12)
    assert found["val/accuracy"] == 6 / 12
    assert found["val/precision"] == 2 / 6  # of those above one half: 8 and 11 are positive, of 2, 5, 8, 11
    assert found["val/recall"] == 2 / 4
    assert found["val/auroc"] == 20 / 32


@pytest.mark.parametrize("batches", [1, 3])
def test_metrics_of_float32_are_values_of_a_float32(batches: int) -> None:
    assert all(float(np.float32(value)) == value for value in run_one_step(torch.float32, batches=batches).values())


def test_epochs_counted_together_keep_all_digits_of_float64() -> None:
    metrics = StageMetrics("train", classes=2, reduction="mean")
    costs = torch.tensor([[0.1], [0.7]], dtype=torch.float64)
    probability = torch.tensor([[0.2, 0.6, 0.7]] * 2, dtype=torch.float64)
    rows = metrics.compute_epochs(costs, [3], probability, torch.tensor([[0, 0, 1]] * 2))
    assert [row["train/loss"] for row in rows] == [0.1, 0.7]
    assert rows[0]["train/accuracy"] == 2 / 3


@given(st.integers(0, 1000), st.integers(4, 40), st.integers(2, 5), st.integers(1, 40))
def test_scores_of_several_classes_an_image_are_torchmetrics_means_over_the_classes(
    seed: int, images: int, classes: int, size: int
) -> None:
    draw = np.random.default_rng(seed)
    label = draw.integers(2, size=(images, classes))
    probability = (draw.integers(1, 40, size=(images, classes)) / 40).astype(np.float32)  # ties, and some of 0.5
    found = found_in_batches(probability, label, classes=classes, size=size)
    values, true = torch.from_numpy(probability), torch.from_numpy(label)
    named = {
        "accuracy": multilabel_accuracy,
        "precision": multilabel_precision,
        "recall": multilabel_recall,
        "f1": multilabel_f1_score,
    }
    for name, score in named.items():
        each = score(values, true, num_labels=classes, average="none")
        assert found[name] == pytest.approx(float(each.mean()), abs=1e-6)
    is_whole = bool((label.any(0) & ~label.all(0)).all())
    assert ("auroc" in found) == ("balanced_accuracy" in found) == is_whole
    if is_whole:
        assert found["auroc"] == pytest.approx(float(multilabel_auroc(values, true, num_labels=classes)), abs=1e-6)
        predicted, present = probability > 0.5, label == 1
        recalls = (predicted & present).sum(0) / present.sum(0), (~predicted & ~present).sum(0) / (~present).sum(0)
        assert found["balanced_accuracy"] == pytest.approx(float(np.mean(recalls)), abs=1e-6)
