"""Compute max pooling on a CPU by torch's kernel for channels_last images, a tenth of the time of that for others."""

from typing import Any

import torch
from torch import Tensor, nn

MIN_CHANNELS = 8
"""Fewest channels with which that kernel is faster, conversions included."""
DTYPES = torch.float32, torch.float64


def pool_in_channels_last(network: nn.Module) -> None:
    """Replace the class of the network's max poolings by one that computes the same bits, gradients included."""
    for module in network.modules():
        if type(module) is nn.MaxPool2d and not module.return_indices:
            module.__class__ = MaxPool2d


class MaxPool2d(nn.MaxPool2d):
    """Pool as `torch.nn.MaxPool2d`; convert contiguous images to channels_last, and the maxima back.

    Shapes: [B, C, H, W] -> [B, C, H', W'].
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's name
        """Return the maxima."""
        if _is_transformed() or not _is_faster(input):
            return super().forward(input)  # type: ignore[no-any-return]
        if not (torch.is_grad_enabled() and input.requires_grad):
            return _to_contiguous(super().forward(input.contiguous(memory_format=torch.channels_last)))
        sizes = [_pair(size) for size in (self.kernel_size, self.stride, self.padding, self.dilation)]
        pooled: Tensor = _Pooling.apply(input, *sizes, self.ceil_mode)  # type: ignore[no-untyped-call]
        return pooled


def _is_faster(image: Tensor) -> bool:
    if image.device.type != "cpu" or image.ndim != 4 or image.shape[1] < MIN_CHANNELS:
        return False
    if image.dtype not in DTYPES or torch.is_autocast_enabled("cpu"):
        return False
    return image.is_contiguous() and not image.is_contiguous(memory_format=torch.channels_last)


def _is_transformed() -> bool:
    """Return whether torch compiles, exports, traces, or transforms the network, which it does with its own layers."""
    is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return is_traced or torch._C._are_functorch_transforms_active()


def _to_contiguous(image: Tensor) -> Tensor:
    """Copy to the strides of a new tensor: a map of one pixel would keep others, by which torch chooses kernels."""
    return image.clone(memory_format=torch.contiguous_format)


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


class _Pooling(torch.autograd.Function):
    """Pool in channels_last; differentiate in the images' own format, for which torch's kernel is fast."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, *settings: Any) -> Tensor:
        images = image.contiguous(memory_format=torch.channels_last)
        pooled, indices = torch.ops.aten.max_pool2d_with_indices(images, *settings)
        ctx.settings = settings
        ctx.save_for_backward(image, _to_contiguous(indices))
        return _to_contiguous(pooled)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, indices = ctx.saved_tensors
        found = torch.ops.aten.max_pool2d_with_indices_backward(gradient.contiguous(), image, *ctx.settings, indices)
        return found, *[None for _ in ctx.settings]
