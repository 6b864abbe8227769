"""Keep a network's weights and images in memory by pixels, the channels of each beside each other."""

from typing import Any

import torch
from torch import Tensor, nn


def use_channels_last(network: nn.Module) -> bool:
    """Turn weights of four dimensions, and each batch of images, into `torch.channels_last`, which changes no value.

    Returns:
        Whether the network has such weights; otherwise nothing changes.
    """
    if not any(parameter.ndim == 4 for parameter in network.parameters()):
        return False
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.register_forward_pre_hook(_convert_images)
    return True


def _convert_images(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_convert(value) for value in inputs)


def _convert(value: Any) -> Any:
    is_image = isinstance(value, Tensor) and value.ndim == 4
    return value.contiguous(memory_format=torch.channels_last) if is_image else value
