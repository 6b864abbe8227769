"""Give a network images on its device, in the precision that it takes."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def input_dtype(weights: Iterable[Tensor]) -> torch.dtype:
    """Return the precision of the images that a network takes: that of its weights, or float32 where they differ."""
    dtypes = {tensor.dtype for tensor in weights if tensor.is_floating_point()}
    return dtypes.pop() if len(dtypes) == 1 else torch.float32


def to_input(image: Tensor, network: nn.Module) -> Tensor:
    """Return images on a network's device, in the precision that it takes."""
    weights = [*network.parameters(), *network.buffers()]
    return image.to(weights[0].device if weights else image.device, input_dtype(weights))
