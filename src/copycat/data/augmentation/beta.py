"""Sample the Beta distribution of two equal parameters by inversion, on any device."""

import torch
from torch import Tensor

TABLE_SIZE = 4096  # intervals of the table from 0 to 0.5; the rest is its mirror image


class SymmetricBeta:
    """Sample Beta(alpha, alpha) from uniform random numbers.

    Neither torch nor NumPy inverts its distribution function, so that is integrated once, by the midpoint rule. Points
    are the denser towards 0 the steeper the density is there, which keeps the integrand finite and smooth for any
    alpha > 0.
    """

    def __init__(self, alpha: float) -> None:
        """Integrate the density into a table."""
        power = max(1.0, 1 / alpha)  # of x = v**power / 2, with v from 0 to 1
        edge = torch.arange(TABLE_SIZE + 1, dtype=torch.float64) / TABLE_SIZE
        middle = (edge[1:] + edge[:-1]) / 2
        log_density = (power * alpha - 1) * middle.log() + (alpha - 1) * torch.log1p(-(middle**power) / 2)
        level = torch.nn.functional.pad((log_density - log_density.max()).exp().cumsum(0), (1, 0))
        self._level, self._value = (level / (2 * level[-1])).float(), (edge**power / 2).float()

    def __call__(self, uniform: Tensor) -> Tensor:
        """Map uniform numbers, [B] in [0, 1), to float32 [B] in [0, 1], increasing."""
        if self._level.device != uniform.device:
            self._level, self._value = self._level.to(uniform.device), self._value.to(uniform.device)
        level, value = self._level, self._value
        low = torch.minimum(uniform, 1 - uniform)
        above = torch.searchsorted(level, low).clamp(1, TABLE_SIZE)
        below = above - 1
        step = (level[above] - level[below]).clamp_min(torch.finfo(torch.float32).tiny)
        quantile = torch.lerp(value[below], value[above], (low - level[below]) / step)
        return torch.where(uniform < 0.5, quantile, 1 - quantile)
