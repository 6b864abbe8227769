"""Evaluate one network, or several at once, on batches in memory, without a Trainer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from copycat.models.metrics import Row
from copycat.models.prediction_buffer import PredictionBuffer
from copycat.models.stage_metrics import StageMetrics

BatchT = TypeVar("BatchT")
Outputs = tuple[Tensor, Tensor, Tensor]
"""Losses [n], probabilities [n, B] of class 1 or [n, B, classes], and labels [n, B, …] of n networks on a batch."""


@dataclass(frozen=True)
class Evaluated:
    """Hold the outputs of n networks on all batches, before their metrics are computed."""

    losses: Tensor
    """[n, batches]."""
    sizes: Sequence[int]
    """Number of images of each batch."""
    probability: Tensor
    """[n, N] of class 1, or [n, N, classes]."""
    label: Tensor
    """[n, N, …]."""


def evaluate(
    forward: Callable[[BatchT], Outputs],
    batches: Iterable[BatchT],
    metrics: StageMetrics,
    *,
    modules: Sequence[nn.Module],
) -> tuple[list[Row], Tensor]:
    """Measure n networks on batches, in evaluation mode and without gradients.

    `modules` are the networks and losses that `forward` calls.

    Returns:
        The metrics of each network, and the probabilities [n, N] of class 1, or [n, N, classes].
    """
    found = compute_outputs(forward, batches, modules=modules)
    return metrics.compute_epochs(found.losses, found.sizes, found.probability, found.label), found.probability


def compute_outputs(
    forward: Callable[[BatchT], Outputs], batches: Iterable[BatchT], *, modules: Sequence[nn.Module]
) -> Evaluated:
    """Compute what `evaluate` measures."""
    with evaluation_mode(modules):
        return collect_outputs(map(forward, batches))


def collect_outputs(outputs: Iterable[Outputs]) -> Evaluated:
    """Return the outputs of batches together."""
    losses, predictions = list[Tensor](), PredictionBuffer(dim=1)
    for loss, probability, label in outputs:
        losses.append(loss)
        predictions.append(probability, label)
    found, true = predictions.concatenated()
    return Evaluated(torch.stack(losses, 1), predictions.sizes, found, true)


@contextmanager
def evaluation_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Turn training mode and gradients off, then restore each layer's own mode: a frozen one may have another."""
    modes = [(layer, layer.training) for module in modules for layer in module.modules()]
    for layer, _ in modes:
        layer.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for layer, training in modes:
            layer.training = training
