"""Read tensors of which each rank may hold a part, without the import of their class, which takes half a second."""

from typing import Any

from torch import Tensor, nn


def is_spread(tensor: Tensor) -> bool:
    """Return whether each rank holds a part of a tensor alone, as sharding.py spreads them: whether it is a DTensor."""
    return hasattr(tensor, "device_mesh")


def has_spread_weights(network: nn.Module) -> bool:
    """Return whether weights are spread: every rank must then call what reads them."""
    return any(is_spread(parameter) for parameter in network.parameters())


def gather(tensor: Any) -> Any:
    """Return the whole of a tensor that is spread, which every rank must call; another value as it is."""
    return tensor.full_tensor() if is_spread(tensor) else tensor
