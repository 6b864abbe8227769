"""Create networks on backbones of timm and torchvision, which are imported only when they are used."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.suggestions import first_line
from copycat.models.backbone import Backbone, Pixels, load_weights, measure_width
from copycat.models.transfer import build_on_backbone

MEAN, DEVIATION, SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224
"""Preprocessing for ImageNet, the default for networks without a description of their training data."""


def packaged(
    *,
    package: str,
    name: str,
    out_features: int,
    pretrained: bool = True,
    weights: str | None = None,
    frozen: bool = True,
    freeze_batch_norm: bool = True,
    backbone_size: int | None = None,
) -> nn.Module:
    """Create a network of timm or torchvision with a new linear layer in place of its last one.

    Args:
        package: `timm` or `torchvision`.
        name: of the network, as in the package's list of models.
        out_features: 1 for two classes (one logit), else the number of classes.
        pretrained: start from the weights that the package downloads.
        weights: a file of weights to load instead.
        frozen: as in `copycat.models.transfer.efficientnet_lite0`.
        freeze_batch_norm: likewise.
        backbone_size: side of the resized image, in pixels; None for that of the network's training.

    Raises:
        UserError: where the package is not installed, knows no such network, or the weights do not fit.
    """
    require_package(package, wanted_by=f"model={package}")
    network, size, mean, deviation = PACKAGES[package](name, pretrained and weights is None)
    if weights:
        load_weights(network, Path(weights).expanduser(), name=f"{package} {name}")
    pixels = Pixels(size=backbone_size or size, mean=mean, deviation=deviation)
    width = measure_width(network, name=f"{package} {name}", size=pixels.size)
    backbone = Backbone(network=network, pixels=pixels, width=width, name=f"{package} {name}")
    return build_on_backbone(backbone, out_features=out_features, frozen=frozen, freeze_batch_norm=freeze_batch_norm)


def _image_size(node: Mapping[str, Any]) -> int:
    """Return the side in pixels at which data without a size of their own are prepared, without loading weights."""
    if node.get("backbone_size"):
        return int(node["backbone_size"])
    require_package(node["package"], wanted_by=f"model={node['package']}")
    with torch.device("meta"):
        return PACKAGES[node["package"]](node["name"], False)[1]


packaged.required_image_size = _image_size  # type: ignore[attr-defined]


Pretrained = tuple[nn.Module, int, Sequence[float], Sequence[float]]
"""A feature extractor, with the side in pixels, mean and deviation of its training images."""


def _create_timm(name: str, pretrained: bool) -> Pretrained:
    from timm import create_model

    network = _call_package(lambda: create_model(name, pretrained=pretrained, num_classes=0), "timm", name)
    spec: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    return network, spec.get("input_size", (3, SIZE, SIZE))[-1], spec.get("mean", MEAN), spec.get("std", DEVIATION)


def _create_torchvision(name: str, pretrained: bool) -> Pretrained:
    from torchvision import models

    best = _call_package(lambda: models.get_model_weights(name).DEFAULT, "torchvision", name)
    network = _call_package(lambda: models.get_model(name, weights=best if pretrained else None), "torchvision", name)
    _remove_last_layer(network, name=name)
    preprocessing = best.transforms()
    return network, preprocessing.crop_size[0], preprocessing.mean, preprocessing.std


PACKAGES: Mapping[str, Callable[[str, bool], Pretrained]] = {"timm": _create_timm, "torchvision": _create_torchvision}


def _call_package(make: Callable[[], Any], package: str, name: str) -> Any:
    """Call a package, and convert any error to a UserError: an unknown name, or a failed download."""
    try:
        return make()
    except Exception as error:
        raise UserError(
            f"model.name: expected a network of {package}; got {name!r}: {first_line(error)}."
            " Type another, or a file of its weights as model.weights=FILE."
        ) from error


def _remove_last_layer(network: nn.Module, *, name: str) -> None:
    """Replace the last linear layer by the identity: `fc`, or the end of `classifier` or `heads`."""
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"model.name: expected a network that ends in a linear layer; {name} has none.")
    parent, _, last = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
