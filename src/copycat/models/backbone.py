"""A network that was trained on other images: what it gives, what it takes, and where its weights come from."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line

Make = TypeVar("Make", bound=Callable[..., nn.Module])


def wants_images(size: Callable[[Mapping[str, Any]], int]) -> Callable[[Make], Make]:
    """Mark a function that makes networks, so that data of open size are prepared at the size that its network takes.

    Args:
        size: side in pixels, from the keys of the model's node.
    """

    def mark(make: Make) -> Make:
        make.wanted_image_size = size  # type: ignore[attr-defined]
        return make

    return mark


class Pixels(nn.Module):
    """Brings images to what a backbone was trained on.

    Args:
        size: pixels of a side.
        mean, deviation: of pixels, one for all channels or one each, which are taken off and divided by.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, 3, size, size].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, size: int, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(list(deviation)).view(-1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        large = F.interpolate(image, size=(self.size, self.size), mode="bicubic", align_corners=False)
        return (large.clamp(0, 1) - self.mean) / self.deviation  # it overshoots at edges


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Without the layer that told its own classes apart."""

    network: nn.Module
    """[B, 3, size, size], as `pixels` gives them -> [B, width]."""
    pixels: Pixels
    width: int
    name: str

    def key(self, device: torch.device) -> str:
        """Of all that changes a feature's bits there, but for the image."""
        pixels = self.pixels
        facts = [self.name, "bicubic", pixels.size, pixels.mean.flatten().tolist(), pixels.deviation.flatten().tolist()]
        machine: list[object] = [torch.__version__]
        if device.type == "cpu":
            machine += [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
        else:
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
            machine += [name, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()]
        return weights_digest(self.network, repr([facts, machine]).encode())


def weights_digest(network: nn.Module, first: bytes = b"") -> str:
    """A hash of all tensors of a network and their names, after some bytes."""
    found = blake2b(first, digest_size=16)
    for name, tensor in network.state_dict().items():
        content = tensor.cpu().contiguous().view(-1).view(torch.uint8)
        found.update(name.encode() + content.numpy().tobytes())
    return found.hexdigest()


def fill(network: nn.Module, path: Path, *, name: str) -> None:
    """Give a network the weights that lie in a file, of PyTorch's or safetensors; more than it has are left there.

    Args:
        name: the network's, for an error.

    Raises:
        UserError: where there is no such file, or it holds weights of another network.
    """
    try:
        _load(network, path)
    except FileNotFoundError as error:
        raise UserError(f"model.weights: expected a file of weights; got {path}. Leave it null.") from error
    except Exception as error:  # whatever is wrong with a file, torch has an error of its own for it
        raise UserError(f"model.weights: expected weights of {name}; {path}: {first_line(error)}.") from error


def _load(network: nn.Module, path: Path) -> None:
    weights: Mapping[str, Tensor] = (
        load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    )
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a network that is looked at on no device
        missing = network.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise ValueError(f"it lacks {missing[0]}")


def measured_width(network: nn.Module, *, name: str, size: int) -> int:
    """How many features a network gives.

    Raises:
        UserError: where it refuses images of that size, or gives no features.
    """
    try:
        with torch.no_grad():
            found = network.eval()(torch.zeros(1, 3, size, size))
    except Exception as error:  # networks of others raise whatever they like
        raise UserError(
            f"model.backbone_size: {name} refuses images of {size} pixels: {first_line(error)}. Leave it null."
        ) from error
    network.train()
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise UserError(f"model.name: expected a network that gives a row of features an image; got {name}.")
    return int(found.shape[1])
