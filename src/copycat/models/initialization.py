"""Set the initial weights of a network, in place of what its layers draw as they are made."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod, sqrt
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from copycat.config.errors import UserError

PRETRAINED = "backbone."
"""Start of the names of parameters that keep their weights."""
FAN_SHARES: Mapping[str, tuple[float, float]] = {"lecun": (1, 0), "he": (0.5, 0), "xavier": (0.5, 0.5)}
"""By rule, the shares of the inputs and of the outputs of a layer in 1 / variance."""


class Initialization(ABC):
    """Set the weights of linear and convolutional layers, and their biases to zero.

    Normalization layers and a pretrained backbone keep theirs.
    """

    @abstractmethod
    def __call__(self, network: nn.Module, *, seed: int, image_shape: Sequence[int]) -> None:
        """Set the weights in place.

        Args:
            network: its parameters of two and more dimensions are weights, [outputs, inputs, …].
            seed: of the run.
            image_shape: [C, H, W].
        """


class Default(Initialization):
    """Keep the initial values that PyTorch's layers draw."""

    def __call__(self, network: nn.Module, *, seed: int, image_shape: Sequence[int]) -> None:
        """Change nothing."""


class Zeros(Initialization):
    """Set weights to zero, which only a network without hidden layers learns from."""

    def __call__(self, network: nn.Module, *, seed: int, image_shape: Sequence[int]) -> None:
        """Set weights and biases to zero."""
        for weight in _reset_biases(network):
            nn.init.zeros_(weight)


class Normal(Initialization):
    """Draw weights from a normal distribution of mean 0, in the order of the layers.

    Args:
        std: standard deviation, or a rule for it by the number of inputs n and outputs m of a layer: `lecun`, √(1/n);
            `he`, √(2/n); `xavier`, √(2/(n + m)).
        generator: `torch`, or `numpy_legacy`: that of `numpy.random.seed`, which draws float64.
        seed: seed of the generator; None: that of the run.
        image_order: `channels_first`, or `channels_last`: weights of the first layer are drawn for images that are
            flattened as [H, W, C], and put into the order of the data, [C, H, W].

    Source: LeCun et al. 1998, Efficient BackProp; He et al. 2015, Delving Deep into Rectifiers; Glorot and Bengio
        2010, Understanding the difficulty of training deep feedforward neural networks.
    """

    def __init__(
        self,
        *,
        std: float | Literal["lecun", "he", "xavier"],
        generator: Literal["torch", "numpy_legacy"] = "torch",
        seed: int | None = None,
        image_order: Literal["channels_first", "channels_last"] = "channels_first",
    ) -> None:
        """Keep the settings."""
        self.std, self.generator, self.seed, self.image_order = std, generator, seed, image_order

    def __call__(self, network: nn.Module, *, seed: int, image_shape: Sequence[int]) -> None:
        """Draw the weights, and set biases to zero.

        Raises:
            UserError: where the order of the channels is that of flattened images, and the first layer takes no such.
        """
        draw = self._make_generator(seed if self.seed is None else self.seed)
        for place, weight in enumerate(_reset_biases(network)):
            drawn = draw(weight)
            drawn = drawn * self.std if isinstance(self.std, float | int) else drawn / self._divisor(weight)
            if place == 0 and self.image_order == "channels_last":
                drawn = _reorder_channels(drawn, image_shape)
            with torch.no_grad():
                weight.copy_(drawn)

    def _make_generator(self, seed: int) -> Callable[[Tensor], Tensor]:
        """Return a function that draws a tensor of the shape of another from a standard normal distribution."""
        if self.generator == "torch":
            generator = torch.Generator().manual_seed(seed)
            return lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)
        legacy = np.random.RandomState(seed)
        return lambda like: torch.from_numpy(legacy.standard_normal(like.shape))

    def _divisor(self, weight: Tensor) -> float:
        kernel = prod(weight.shape[2:])
        of_inputs, of_outputs = FAN_SHARES[str(self.std)]
        return sqrt((of_inputs * weight.shape[1] + of_outputs * weight.shape[0]) * kernel)


def _reset_biases(network: nn.Module) -> Iterator[nn.Parameter]:
    """Set biases to zero, and yield the weights of linear and convolutional layers in their order."""
    for name, parameter in network.named_parameters():
        if name.startswith(PRETRAINED):
            continue
        if parameter.dim() > 1:
            yield parameter
        elif name.rpartition(".")[2] == "bias":
            nn.init.zeros_(parameter)


def _reorder_channels(weight: Tensor, image_shape: Sequence[int]) -> Tensor:
    """Reorder weights of images flattened as [H, W, C] for images flattened as [C, H, W]."""
    channels, height, width = image_shape
    if weight.dim() != 2 or weight.shape[1] != channels * height * width:
        raise UserError(
            "initialization.image_order=channels_last: expected a network whose first layer takes flattened images; got"
            f" a first weight of shape {[*weight.shape]}. Type initialization.image_order=channels_first."
        )
    return weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2).flatten(1)
