"""Batches for tests of losses, and their gradients."""

from typing import Any

import torch
from torch import Tensor

from copycat.models.losses import Reduction

REDUCTIONS: list[Reduction] = ["mean", "sum"]
WEIGHTS = [None, [1.0, 1.0], [0.25, 3.0]]


def with_gradient(loss: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a copy of the logits, and its gradient there."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def make_batch(seed: int, *, size: int, outputs: int, classes: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(size, outputs, generator=draw), torch.randint(classes, (size,), generator=draw)
