"""Where on its activation function a unit works: where the slope is next to nothing, no gradient comes back."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

SENSITIVE = 0.1
"""Share of the steepest slope, at least, in the sensitive region."""
SPAN, STEPS = 20.0, 4001
"""Inputs at which the slope is taken: from -20 to 20."""
NOT_BY_ELEMENT = (nn.Softmax, nn.Softmin, nn.LogSoftmax, nn.Softmax2d, nn.GLU, nn.MultiheadAttention)
REGIONS = ("undersaturated", "sensitive", "oversaturated")


def is_activation(module: nn.Module) -> bool:
    """Whether it is one of torch's, that takes each number by itself."""
    return type(module).__module__ == activation.__name__ and not isinstance(module, NOT_BY_ELEMENT)


def shares(module: nn.Module, given: Tensor) -> dict[str, float]:
    """Shares of inputs in each region, which make 1 together.

    The sensitive region is where the slope is at least a tenth of the steepest; inputs elsewhere are undersaturated
    below its middle and oversaturated above. Of a sigmoid it is from -3.6 to 3.6, where it gives 0.026 to 0.974; of
    relu all that is above 0.
    """
    middle, slope = _slope(module)
    steep = slope.max() * SENSITIVE
    places = ((given.detach().float().cpu() + SPAN) / (2 * SPAN) * (STEPS - 1)).round().clamp(0, STEPS - 1).long()
    is_steep = slope[places] >= steep
    below = places < middle
    found = [~is_steep & below, is_steep, ~is_steep & ~below]
    return {name: float(share.float().mean()) for name, share in zip(REGIONS, found, strict=True)}


def _slope(module: nn.Module) -> tuple[int, Tensor]:
    """The middle of the sensitive region, and the size of the slope, at each place."""
    if not list(module.parameters()):  # one that learns its slope changes
        return _slope_of(type(module), repr(module), module)
    return _reckoned(module)


_known: dict[tuple[Any, str], tuple[int, Tensor]] = {}


def _slope_of(kind: type[nn.Module], words: str, module: nn.Module) -> tuple[int, Tensor]:
    if (kind, words) not in _known:
        _known[kind, words] = _reckoned(module)
    return _known[kind, words]


def _reckoned(module: nn.Module) -> tuple[int, Tensor]:
    like = next(module.parameters(), torch.empty(0))
    x = torch.linspace(-SPAN, SPAN, STEPS, device=like.device, requires_grad=True)
    with torch.enable_grad(), torch.inference_mode(False):
        (slope,) = torch.autograd.grad(module(x.clone()).sum(), x)  # a copy: the module may write to it
    slope = slope.abs().nan_to_num(0).cpu()
    steep = (slope >= slope.max() * SENSITIVE).nonzero()[:, 0]
    return int((steep[0] + steep[-1]) // 2), slope
