"""Measure and clip the gradients of each trial of a pack."""

from collections.abc import Sequence

import torch
from torch import Tensor


def compute_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm over all tensors, [trials, …] each, of each trial: [trials]."""
    each = torch.stack([torch.linalg.vector_norm(tensor.flatten(1), dim=1) for tensor in tensors])
    norms: Tensor = torch.linalg.vector_norm(each, dim=0)
    return norms


def clip_gradients(gradients: Sequence[Tensor], most: float, *, by_norm: bool) -> list[Tensor]:
    """Clip each trial's gradients, [trials, …], as torch.nn.utils.clip_grad_norm_ or clip_grad_value_ do."""
    if not by_norm:
        return [gradient.clamp(-most, most) for gradient in gradients]
    factor = (most / (compute_norms(gradients) + 1e-6)).clamp(max=1.0)
    return [gradient * factor.view(-1, *[1] * (gradient.ndim - 1)) for gradient in gradients]
