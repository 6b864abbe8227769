"""Apple's GPU has no float64: what runs on the device is tried on the CPU, which refuses float64 meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from copycat.config.errors import UserError
from copycat.models import stage_metrics
from copycat.models.classifier import Classifier
from copycat.records.metrics_csv import read_history
from tests.support.runs import QUIET, train_tiny

WORDS = (
    "model=cnn",
    "model.channels=[4]",
    "data.batch_size=4",
    "trainer.max_epochs=2",
    "trainer.steps_per_execution=1",
)


class WithoutFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuse each operation that gives float64, as MPS does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, (list, tuple)) else [found]:
            if isinstance(value, Tensor) and value.dtype == torch.float64:
                raise TypeError(f"{func}: Cannot convert a MPS Tensor to float64 dtype")
        return found


def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        with WithoutFloat64():  # type: ignore[no-untyped-call]
            return function(*arguments, **named)

    return call


@pytest.fixture
def without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("training_step", "validation_step"):
        monkeypatch.setattr(Classifier, name, refusing(getattr(Classifier, name)))
    for optimizer in (torch.optim.SGD, torch.optim.Adam):
        monkeypatch.setattr(optimizer, "step", refusing(optimizer.step))
    monkeypatch.setattr(stage_metrics, "_sum_dtype", lambda losses: torch.float32)  # as of losses on MPS


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=adam", "augmentation=mixup", "metrics=full", "scheduler=warmup_cosine"],
        ["optimizer=sgd", "loss=focal", "loss.class_weights=[1.0,2.0]", "data.sampler=balanced"],
        ["optimizer=adam", "callbacks=[default,ema]", "trainer.gradient_clip_val=0.1", "loss.label_smoothing=0.1"],
    ],
)
@pytest.mark.usefixtures("without_float64")
def test_steps_need_no_float64(words: list[str], tiny: Path, tmp_path: Path) -> None:
    run = train_tiny(*WORDS, *words, data=tiny, at=tmp_path)
    assert run.status == "completed"
    assert all("val/loss" in row for row in read_history(run.folder))


@pytest.mark.usefixtures("without_float64")
def test_a_step_in_float64_would_be_found(tiny: Path, tmp_path: Path) -> None:
    run = train_tiny(*WORDS, *QUIET, "trainer.precision=64-true", data=tiny, at=tmp_path)
    assert run.status == "failed"
    assert "Cannot convert a MPS Tensor" in str(run.manifest["error"])


def test_losses_on_apples_gpu_are_summed_in_float32() -> None:
    class OnMPS:
        device = torch.device("mps")

    on_mps: Any = OnMPS()
    assert stage_metrics._sum_dtype(on_mps) == torch.float32
    assert stage_metrics._sum_dtype(torch.zeros(1)) == torch.float64


@pytest.mark.parametrize("accelerator", ["auto", "gpu", "mps"])
def test_float64_is_refused_where_apples_gpu_would_train(
    accelerator: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    words = ["trainer.precision=64-true", f"trainer.accelerator={accelerator}"]
    with pytest.raises(UserError, match=r"64-true: expected a device with float64; MPS has none\. Type trainer\.acc"):
        train_tiny(*QUIET, *words, data=tiny, at=tmp_path)
    assert not list(tmp_path.rglob("run.json"))
