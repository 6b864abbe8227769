"""Describe a run as a whole to callbacks, whether it is trained alone or in a pack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from copycat.data.datamodule import DataModule
from copycat.models.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Hold the state of a run at its start, or after its last step."""

    folder: Path
    manifest: Mapping[str, Any]
    """Content of run.json, so far as it is known."""
    classifier: Classifier
    data: DataModule
    loggers: Sequence[Any]
    epochs: int = 0
    """Number of epochs trained."""
    probabilities: Tensor = torch.empty(0)  # noqa: RUF009, never written to
    """Predicted probabilities of the validation images, float32 [N, classes], on the CPU."""


@runtime_checkable
class RunObserver(Protocol):
    """Observe the start and the end of a run, as a callback."""

    def on_run_start(self, context: RunContext) -> None:
        """Observe the run before its first step; not called when a run resumes."""

    def on_run_end(self, context: RunContext) -> None:
        """Observe the run after the evaluation of its final weights."""


def network_of(module: pl.LightningModule) -> nn.Module:
    """Return the network inside a classifier."""
    assert isinstance(module, Classifier)
    return module.network


def class_probabilities(probability: Tensor) -> Tensor:
    """Return probabilities, [N] of class 1 or [N, classes], as [N, classes] on the CPU: float32 unless float64."""
    values = probability.detach().cpu()
    values = values if values.dtype == torch.float64 else values.float()
    return torch.stack([1 - values, values], dim=1) if values.ndim == 1 else values


def probability_digest(probability: Tensor) -> str:
    """Return a hash of probabilities: equal for equal bits."""
    content = probability.cpu().contiguous().view(torch.uint8).numpy().tobytes()  # NumPy has no bfloat16
    return blake2b(content, digest_size=16).hexdigest()
