"""Compute in float32 inside the autocast of mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context without the autocast of the tensor's device; where there is none, a context that does nothing.

    A loss and its probabilities are computed so: in half precision a probability has three digits, and torch refuses
    the binary cross-entropy of probabilities.
    """
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def widen(logits: Tensor) -> Tensor:
    """Return logits as float32 where autocast has made them half; unchanged otherwise."""
    return logits.float() if torch.is_autocast_enabled(logits.device.type) and logits.itemsize == 2 else logits
