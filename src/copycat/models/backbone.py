"""Load pretrained backbones: feature extractors, the preprocessing of their inputs, and their weights."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.models.stored_weights import weights_digest


class Pixels(nn.Module):
    """Resize and normalize images as in the training of a backbone.

    Args:
        size: side of the resized image, in pixels.
        mean: mean of the pixels, one for all channels or one each.
        deviation: standard deviation of the pixels, likewise.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, 3, size, size].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, size: int, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Create the module, without trained or saved state."""
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(list(deviation)).view(-1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Resize and normalize a batch of images."""
        large = F.interpolate(image, size=(self.size, self.size), mode="bicubic", align_corners=False)
        return (large.clamp(0, 1) - self.mean) / self.deviation  # bicubic interpolation overshoots at edges


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Hold a pretrained network without its classification layer."""

    network: nn.Module
    """Shapes: [B, 3, size, size], the output of `pixels`, -> [B, width] features."""
    pixels: Pixels
    width: int
    name: str

    def fingerprint(self, device: torch.device) -> str:
        """Return a hash of all that determines the bits of an image's features on a device, except the image."""
        pixels = self.pixels
        facts = [self.name, "bicubic", pixels.size, pixels.mean.flatten().tolist(), pixels.deviation.flatten().tolist()]
        machine: list[object] = [torch.__version__]
        if device.type == "cpu":
            machine += [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
        else:
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
            machine += [name, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()]
        return weights_digest(self.network.state_dict(), repr([facts, machine]).encode())


def load_weights(network: nn.Module, path: Path, *, name: str) -> None:
    """Load a network's weights from a file of PyTorch or safetensors, ignoring additional tensors and a prefix.

    Raises:
        UserError: where there is no such file, or it holds weights of another network.
    """
    try:
        _load_state(network, path)
    except FileNotFoundError as error:
        raise UserError(f"model.weights: expected a file of weights; got {path}. Leave it null.") from error
    except UnpicklingError as error:  # torch's text advises to run the file's code
        expected = "expected tensors in a state dict, without code"
        raise UserError(
            f"model.weights: {expected}; {path} has other content. Save network.state_dict() alone."
        ) from error
    except Exception as error:  # torch raises many types of errors for invalid files
        raise UserError(f"model.weights: expected weights of {name}; {path}: {first_line(error)}.") from error


def _load_state(network: nn.Module, path: Path) -> None:
    content: object = (
        load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    )
    weights, missing = min(_candidates(content, [*network.state_dict()]), key=lambda found: len(found[1]))
    if missing:
        raise ValueError(f"it lacks {missing[0]}")
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of meta tensors, in `copycat inspect`
        network.load_state_dict(weights, strict=False)


def _candidates(content: object, names: Sequence[str]) -> Iterator[tuple[Mapping[str, Tensor], Sequence[str]]]:
    """Yield the state dicts in a file, with their prefix removed, and the names that each lacks.

    A training script may save its state dict beside others, as `state_dict`, and a wrapper of the network may add a
    prefix to all names: `module.`, `_orig_mod.`, `backbone.`.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"it holds a {type(content).__name__}, no state dict")
    weights = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    first = names[0]
    for prefix in dict.fromkeys(["", *(name.removesuffix(first) for name in weights if name.endswith(f".{first}"))]):
        found = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        optional = "num_batches_tracked"  # absent from state dicts of torch before 0.4.1
        yield found, [name for name in names if name not in found and not name.endswith(optional)]
    for inner in content.values():
        if isinstance(inner, Mapping):
            yield from _candidates(inner, names)


def measure_width(network: nn.Module, *, name: str, size: int) -> int:
    """Return the number of features that a network returns for an image of `size` pixels a side.

    Raises:
        UserError: where it fails for images of that size, or does not return one row of features an image.
    """
    try:
        with torch.no_grad():
            features = network.eval()(torch.zeros(1, 3, size, size))
    except Exception as error:  # third-party networks raise any type of error
        raise UserError(
            f"model.backbone_size: {name} refuses images of {size} pixels: {first_line(error)}. Leave it null."
        ) from error
    network.train()
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise UserError(f"model.name: expected a network that gives a row of features an image; got {name}.")
    return int(features.shape[1])
