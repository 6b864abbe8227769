"""Define the lecture's networks in plain PyTorch, which return logits and do not depend on Copycat."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


class MLP(nn.Module):
    """Apply linear layers with activations between them, as a subclass of nn.Module.

    Args:
        in_features: width of a flattened input, N.
        hidden: widths of the hidden layers; empty for linear and logistic regression.
        out_features: 1 for two classes (one logit), else the number of classes.
        activation: creates the activation after each hidden layer.

    Shapes: [B, *] float -> [B, out_features] logits.
    """

    def __init__(self, *, in_features: int, hidden: Sequence[int], out_features: int, activation: Activation) -> None:
        """Create the layers."""
        super().__init__()
        widths = [in_features, *hidden, out_features]
        self.layers = nn.ModuleList()
        for place, (a, b) in enumerate(pairwise(widths), start=1):
            self.layers.append(nn.Linear(a, b))
            if place <= len(hidden):
                self.layers.append(activation())

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return x


def sequential(*, in_features: int, hidden: Sequence[int], out_features: int, activation: Activation) -> nn.Sequential:
    """Create the same network as `MLP`, to the bit, as an nn.Sequential of named layers."""
    widths = [in_features, *hidden, out_features]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for place, (a, b) in enumerate(pairwise(widths), start=1):
        layers[f"linear{place}"] = nn.Linear(a, b)
        if place <= len(hidden):
            layers[f"activation{place}"] = activation()
    return nn.Sequential(layers)


STYLES: dict[str, Callable[..., nn.Module]] = {"sequential": sequential, "subclass": MLP}


def mlp(*, style: str, in_features: int, hidden: Sequence[int], out_features: int, activation: Activation) -> nn.Module:
    """Create a linear, logistic, shallow or deep network in one of the lecture's two styles."""
    return STYLES[style](in_features=in_features, hidden=hidden, out_features=out_features, activation=activation)


class CNN(nn.Module):
    """Apply 3×3 convolutions, each with an activation and a max pooling by 2, then one linear layer.

    Args:
        image_shape: (channels, height, width) of an image.
        channels: output channels of each convolution; each halves height and width.
        out_features: 1 for two classes (one logit), else the number of classes.
        activation: creates the activation after each convolution.
        dropout: probability of dropping a feature before the linear layer, in training.
        batch_norm: normalize the outputs of each convolution over the batch.

    Shapes: [B, C, H, W] float -> [B, out_features] logits.
    """

    def __init__(
        self,
        *,
        image_shape: Sequence[int],
        channels: Sequence[int],
        out_features: int,
        activation: Activation,
        dropout: float,
        batch_norm: bool = False,
    ) -> None:
        """Create the layers.

        Raises:
            ValueError: where the image is too small for the number of poolings.
        """
        super().__init__()
        depth, height, width = image_shape
        smallest = 2 ** len(channels)
        if min(height, width) < smallest:
            raise ValueError(f"{len(channels)} poolings need images of at least {smallest}×{smallest}")
        layers: list[nn.Module] = []
        for a, b in pairwise([depth, *channels]):
            normalization = [nn.BatchNorm2d(b)] if batch_norm else []
            convolution = nn.Conv2d(a, b, 3, padding=1, bias=not batch_norm)
            layers += [convolution, *normalization, activation(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels[-1] * (height // smallest) * (width // smallest), out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        logits: Tensor = self.linear(self.dropout(self.features(x).flatten(1)))
        return logits


class Normalization(nn.Module):
    """Subtract a mean from each channel of an image, and divide it by a standard deviation.

    Args:
        mean: one number for all channels, or one each; saved with the weights, as `std` is.
        std: likewise, above 0.

    Shapes: [B, C, H, W] float -> the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Create the layer."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def extra_repr(self) -> str:
        """Return the number of means and of deviations, by which the layer's operations differ."""
        return f"means={len(self.mean)}, stds={len(self.std)}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized images."""
        return (x - self.mean) / self.std


class Normalized(nn.Module):
    """Apply a network behind a layer that normalizes its images.

    Shapes: [B, C, H, W] float -> those of the network.
    """

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        """Create the layer."""
        super().__init__()
        self.normalization = Normalization(mean=mean, std=std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        logits: Tensor = self.network(self.normalization(x))
        return logits


def inner_network(network: nn.Module) -> nn.Module:
    """Return the network that a normalized one applies; any other itself."""
    return network.network if isinstance(network, Normalized) else network


class BagOfColors(nn.Module):
    """Average a learned weight of each pixel's color: an embedding bag over quantized pixels.

    Args:
        levels: quantization levels of each channel; there are levels³ colors.
        out_features: 1 for two classes (one logit), else the number of classes.
        sparse: compute sparse gradients, of the colors in the batch alone, as SparseAdam needs.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, *, levels: int, out_features: int, sparse: bool) -> None:
        """Create the embedding bag."""
        super().__init__()
        self.levels = levels
        self.weights = nn.EmbeddingBag(levels**3, out_features, mode="mean", sparse=sparse)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        channels = (x * self.levels).long().clamp(0, self.levels - 1).flatten(2)
        place = torch.tensor([self.levels**2, self.levels, 1], device=x.device)
        logits: Tensor = self.weights((channels * place[:, None]).sum(1))
        return logits
