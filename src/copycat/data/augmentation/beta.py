"""The Beta distribution of two equal parameters, by inversion: one chance gives one number, on whatever device."""

import torch
from torch import Tensor

POINTS = 4096
"""Of the table from 0 to a half; the rest is its mirror."""


class SymmetricBeta:
    """Beta(alpha, alpha).

    Neither torch nor NumPy inverts it, so its distribution is integrated once, by the midpoint rule. Points lie so much
    closer towards 0 as the density rises there: what is integrated is finite then, and smooth, for any alpha > 0.
    """

    def __init__(self, alpha: float) -> None:
        power = max(1.0, 1 / alpha)  # of x = v**power / 2, with v from 0 to 1
        edge = torch.arange(POINTS + 1, dtype=torch.float64) / POINTS
        middle = (edge[1:] + edge[:-1]) / 2
        log_density = (power * alpha - 1) * middle.log() + (alpha - 1) * torch.log1p(-(middle**power) / 2)
        level = torch.nn.functional.pad((log_density - log_density.max()).exp().cumsum(0), (1, 0))
        self._level, self._value = (level / (2 * level[-1])).float(), (edge**power / 2).float()

    def __call__(self, chance: Tensor) -> Tensor:
        """[B] in [0, 1) -> float32 [B] in [0, 1], rising with the chance."""
        if self._level.device != chance.device:
            self._level, self._value = self._level.to(chance.device), self._value.to(chance.device)
        level, value = self._level, self._value
        low = torch.minimum(chance, 1 - chance)
        above = torch.searchsorted(level, low).clamp(1, POINTS)
        below = above - 1
        step = (level[above] - level[below]).clamp_min(torch.finfo(torch.float32).tiny)
        found = torch.lerp(value[below], value[above], (low - level[below]) / step)
        return torch.where(chance < 0.5, found, 1 - found)
