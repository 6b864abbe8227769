"""Train the first layers of a pack by coordinates: a gradient is a combination of images, so that the weights stay one.

Where every step sees the same n images X [n, N], the gradient of a first layer is δᵀX. SGD, with momentum and weight
decay, takes linear combinations of gradients and weights alone, so that the weights stay W = A X + a W₀ of the first
weights W₀. A step then costs n² per unit in place of n N: its outputs are X Wᵀ = (X Xᵀ) Aᵀ + a X W₀ᵀ, and the gradient
in coordinates is δᵀ itself. Coordinates are float64, so that they are exact where a float32 weight is rounded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from copycat.data.datamodule import DataModule
from copycat.data.loaders import MemoryLoader
from copycat.sweeps.packed.stacked_layers import SpanFunction

FEWER_IMAGES = 4
"""Numbers per image for each image, at least, for coordinates to be faster."""
MAX_KEPT = 8
"""Batches whose products with the images are kept."""


class Span:
    """Hold the images X, the first weights W₀, and products of both.

    Coordinates of units are [units, n + 1]: a factor of each image, and one of the unit's own first weights.
    """

    def __init__(self, images: Tensor, reference: Tensor) -> None:
        """Hold images [n, …] and first weights [units, N]."""
        self.reference, self.images = reference, images
        self.basis = images.flatten(1).double()
        self._kept: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        gram, start = self.products(images)
        self._gram, self._start = gram, start.t().contiguous()
        self._squares = torch.linalg.vector_norm(reference, dim=1, dtype=torch.float64).square()

    def products(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the products of a batch [B, …] with X, [B, n], and with W₀, [B, units]."""
        if (known := self._kept.get(id(images))) is not None:
            return known[1:]
        batch = images.flatten(1).double()
        found = (
            batch @ self.basis.t(),
            torch.cat([batch @ part.double().t() for part in torch.split(self.reference, 256)], 1),
        )
        if len(self._kept) < MAX_KEPT:  # batches that never change are few, and the same tensors each epoch
            self._kept[id(images)] = images, *found
        return found

    def outputs(self, coordinates: Tensor, images: Tensor) -> Tensor:
        """Return the outputs of all units, float32 [B, units], without biases."""
        outputs: Tensor = SpanFunction.apply(coordinates, *self.products(images))  # type: ignore[no-untyped-call]
        return outputs

    def expand(self, coordinates: Tensor, units: slice) -> Tensor:
        """Return the float32 weights [units, N], or momenta, of coordinates of these units."""
        images, own = coordinates[:, :-1], coordinates[:, -1:]
        weights: Tensor = images @ self.basis + own * self.reference[units]
        return weights.float()

    def square_norms(self, coordinates: Tensor) -> Tensor:
        """Return the squared norm of each unit's weights."""
        images, own = coordinates[:, :-1], coordinates[:, -1]
        mixed = (images * (images @ self._gram)).sum(1) + 2 * own * (images * self._start).sum(1)
        squares: Tensor = mixed + own.square() * self._squares
        return squares.clamp(min=0).float()


def find_span_images(
    modules: Sequence[DataModule], optimizer: Optimizer, trainer: Mapping[str, Any], *, device: torch.device
) -> Tensor | None:
    """Return the images [n, …] that every step of all trials sees; None where weights do not stay in their span."""
    if device.type == "mps":  # it has no float64
        return None
    data = modules[0]
    clips_values = trainer["gradient_clip_val"] and trainer["gradient_clip_algorithm"] == "value"
    if type(optimizer) is not SGD or clips_values or torch.get_default_dtype() != torch.float32:
        return None
    loader = data.loader("train", shuffle=data.shuffle)
    if not isinstance(loader, MemoryLoader) or loader.batch_sampler.shuffle or data.augmentation is not None:
        return None
    if len(loader) != 1 or any(each is not data for each in modules):
        return None
    images = next(loader.batches(0, 1))["image"]
    return images if FEWER_IMAGES * len(images) <= images[0].numel() else None
