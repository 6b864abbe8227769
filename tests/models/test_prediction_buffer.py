"""Predictions of many images: in memory or in temporary files, with the same bits."""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from copycat.models import auroc, prediction_buffer
from copycat.models.added_metrics import build_added_metrics
from copycat.models.evaluator import evaluate
from copycat.models.prediction_buffer import PredictionBuffer
from copycat.models.stage_metrics import StageMetrics

SIZES = (7, 7, 7, 3)
ADDED = {
    "metrics": {
        "brier": {"_target_": "copycat.models.metric_classes.BrierScore"},
        "calibration": {"_target_": "torchmetrics.CalibrationError"},
    }
}


def batches(classes: int, dtype: torch.dtype, *, multi_label: bool = False) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(classes)
    for size in SIZES:
        wide = classes if multi_label or classes > 2 else 1
        probability = torch.rand(size, wide, generator=generator, dtype=torch.float64).to(dtype)
        probability = probability if multi_label or wide == 1 else probability / probability.sum(1, keepdim=True)
        shape = (size, classes) if multi_label else (size,)
        label = torch.randint(0, 2 if multi_label else classes, shape, generator=generator)
        yield torch.rand((), generator=generator), probability if wide > 1 else probability[:, 0], label


@pytest.fixture(params=[0, 200])
def bound(request: pytest.FixtureRequest) -> int:
    """Bytes in memory: files from the first batch on, or from a later one."""
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch, bound: int) -> Callable[[], None]:
    """Lower the bound from now on."""

    def lower() -> None:
        monkeypatch.setattr(prediction_buffer, "MAX_BYTES", bound)
        monkeypatch.setattr(auroc, "MAX_SORTED", 1)  # a class at a time

    return lower


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_metric_has_the_bits_of_one_in_memory(
    in_files: Callable[[], None], classes: int, dtype: torch.dtype, multi_label: bool
) -> None:
    def stage() -> StageMetrics:
        config = {} if multi_label else ADDED
        added = build_added_metrics(config, [f"class {number}" for number in range(classes)], multi_label=multi_label)
        return StageMetrics("val", classes=classes, reduction="mean", added=added)

    def compute() -> tuple[list[dict[str, float]], Tensor]:
        updated = stage()
        for loss, probability, label in batches(classes, dtype, multi_label=multi_label):
            updated.update(loss=loss, probability=probability, label=label)
        each = batches(classes, dtype, multi_label=multi_label)
        rows, found = evaluate(
            lambda batch: (batch[0][None], batch[1][None], batch[2][None]), each, stage(), modules=[nn.Identity()]
        )
        return [updated.compute()[0], *rows], found

    expected, probability = compute()
    in_files()
    rows, found = compute()
    assert [dict(row) for row in rows] == [dict(row) for row in expected]
    assert rows[0]["val/accuracy"] == rows[1]["val/accuracy"]
    assert torch.equal(found, probability)


def test_predictions_of_several_networks_stay_in_memory(in_files: Callable[[], None]) -> None:
    in_files()
    buffer, pieces = PredictionBuffer(dim=1), [torch.rand(2, size) for size in SIZES]
    for piece in pieces:
        buffer.append(piece, piece.long())
    assert torch.equal(buffer.concatenated()[0], torch.cat(pieces, 1))


def test_batches_are_added_after_the_predictions_were_read(in_files: Callable[[], None]) -> None:
    in_files()
    buffer = PredictionBuffer()
    pieces = [(torch.rand(size, 3), torch.arange(size)) for size in SIZES]
    read = []
    for place, piece in enumerate(pieces, 1):
        buffer.append(*piece)
        expected = [torch.cat(each) for each in zip(*pieces[:place], strict=True)]
        read.append(buffer.concatenated())
        assert all(torch.equal(one, other) for one, other in zip(read[-1], expected, strict=True))
    buffer.clear()
    assert all(torch.equal(a[0], b[0][: len(a[0])]) for a, b in pairwise(read))  # what was read stays valid
    buffer.append(*pieces[0])
    assert torch.equal(buffer.concatenated()[1], pieces[0][1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_file_and_little_memory_is_left(
    in_files: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anonymous() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    in_files()
    open_files = len(os.listdir("/proc/self/fd"))
    piece = torch.ones(2**20, 4)
    buffer = PredictionBuffer()
    buffer.append(piece, piece[:, 0].long())  # memory that one batch needs, which the C library may keep
    before = anonymous()
    for _ in range(15):
        buffer.append(piece, piece[:, 0].long())
    probability, label = buffer.concatenated()
    assert probability.sum() == 2**26
    assert label.sum() == 2**24
    assert anonymous() - before < 2**26  # 384 MiB are in files
    assert os.listdir(tmp_path) == []  # not even while it is used
    buffer.clear()
    del probability, label
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_single_number_of_a_column_is_written_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_buffer, "MAX_BYTES", 0)
    buffer, columns = prediction_buffer.PredictionBuffer(), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    buffer.append(columns[:1, 1], torch.tensor([1]))
    buffer.append(columns[:0, 1], torch.tensor([], dtype=torch.int64))
    buffer.append(columns[1:, 1], torch.tensor([0]))
    assert buffer.concatenated()[0].tolist() == [0.75, 0.5]
