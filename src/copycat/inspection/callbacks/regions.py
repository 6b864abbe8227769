"""Saturation of activation functions: where the slope is close to zero, no gradient returns."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

MIN_RELATIVE_SLOPE = 0.1
"""Smallest slope in the sensitive region, relative to the steepest one."""
SPAN, STEPS = 20.0, 4001
"""The slope is computed at `STEPS` inputs from -`SPAN` to `SPAN`."""
NOT_ELEMENTWISE = (nn.Softmax, nn.Softmin, nn.LogSoftmax, nn.Softmax2d, nn.GLU, nn.MultiheadAttention)
REGIONS = ("undersaturated", "sensitive", "oversaturated")


def is_activation(module: nn.Module) -> bool:
    """Return whether a module is one of torch's elementwise activation functions."""
    return type(module).__module__ == activation.__name__ and not isinstance(module, NOT_ELEMENTWISE)


def saturation(module: nn.Module, inputs: Tensor) -> dict[str, float]:
    """Return the share of inputs, of any shape, in each region of an activation function; they add up to 1.

    The sensitive region is where the slope is at least a tenth of the steepest; inputs elsewhere are undersaturated
    below its middle and oversaturated above. For a sigmoid it is from -3.6 to 3.6, with outputs from 0.026 to 0.974;
    for ReLU all that is above 0. Inputs that are nan do not count; where all are, the shares are nan.
    """
    middle, slope = _slope(module)
    steep = slope.max() * MIN_RELATIVE_SLOPE
    values = inputs.detach().float().cpu()
    values = values[~values.isnan()]
    indices = ((values + SPAN) / (2 * SPAN) * (STEPS - 1)).round().clamp(0, STEPS - 1).long()
    is_steep = slope[indices] >= steep
    below = indices < middle
    regions = [~is_steep & below, is_steep, ~is_steep & ~below]
    return {name: float(share.float().mean()) for name, share in zip(REGIONS, regions, strict=True)}


def _slope(module: nn.Module) -> tuple[int, Tensor]:
    """Return the index of the sensitive region's middle, and the absolute slope at each of the `STEPS` inputs."""
    if list(module.parameters()):  # a learned slope changes, so it is not cached
        return _compute_slope(module)
    key = type(module), repr(module)
    if key not in _slopes:
        _slopes[key] = _compute_slope(module)
    return _slopes[key]


_slopes: dict[tuple[Any, str], tuple[int, Tensor]] = {}


def _compute_slope(module: nn.Module) -> tuple[int, Tensor]:
    like = next(module.parameters(), torch.empty(0))
    x = torch.linspace(-SPAN, SPAN, STEPS, device=like.device, requires_grad=True)
    with torch.enable_grad(), torch.inference_mode(False):
        (slope,) = torch.autograd.grad(module(x.clone()).sum(), x)  # a copy: the module may write to it
    slope = slope.abs().nan_to_num(0).cpu()
    steep = (slope >= slope.max() * MIN_RELATIVE_SLOPE).nonzero()[:, 0]
    return int((steep[0] + steep[-1]) // 2), slope
