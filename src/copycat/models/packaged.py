"""Create networks on backbones of timm and torchvision."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from copycat.config.errors import FailedDownloadError, UserError
from copycat.config.extras import require_package
from copycat.config.places import expand_home
from copycat.config.suggestions import did_you_mean, first_line
from copycat.models.backbone import Backbone, Pixels, load_weights, measure_width
from copycat.models.model_packages import PACKAGES
from copycat.models.stored_weights import are_weights_replaced, has_stored_weights, load_stored_weights
from copycat.models.transfer import build_on_backbone


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
        UserError: where the package is not installed, has no such classifier, or the weights are missing or do not fit.
    """
    check_name(package, name)
    trained, downloads = PACKAGES[package].preprocessing(name), pretrained and weights is None
    network: nn.Module | None = None
    if are_weights_replaced(frozen=frozen) or has_stored_weights():
        network = _create(package, name, pretrained=False, initialized=not downloads, size=backbone_size)
        if not (are_weights_replaced(frozen=frozen) or load_stored_weights(network)):
            network = None
    if network is None:
        network = _create(package, name, pretrained=downloads, initialized=not downloads, size=backbone_size)
        if weights:
            load_weights(network, expand_home(weights), name=f"{package} {name}")
    pixels = Pixels(size=backbone_size or trained.size, mean=trained.mean, deviation=trained.deviation)
    width = measure_width(network, name=f"{package} {name}", size=pixels.size)
    backbone = Backbone(network=network, pixels=pixels, width=width, name=f"{package} {name}")
    return build_on_backbone(backbone, out_features=out_features, frozen=frozen, freeze_batch_norm=freeze_batch_norm)


def _image_size(node: Mapping[str, Any]) -> int:
    """Return the side in pixels at which data without a size of their own are prepared."""
    if node.get("backbone_size"):
        return int(node["backbone_size"])
    check_name(node["package"], node["name"])
    return PACKAGES[node["package"]].preprocessing(node["name"]).size


packaged.required_image_size = _image_size  # type: ignore[attr-defined]


def check_name(package: str, name: str) -> None:
    """Raise a UserError where a package is not installed, or a name is not that of one of its classifiers."""
    require_package(package, wanted_by=f"model={package}")
    source = PACKAGES[package]
    if refusal := source.refusal(name):
        raise UserError(f"model.name: expected a network of {package} that classifies images; got {name!r}: {refusal}.")
    known = source.names()
    if name.partition(".")[0] not in known:
        hint = did_you_mean(name, known, before="model.name=")
        raise UserError(f"model.name: expected a network of {package}; got {name!r}.{hint}")


def _create(package: str, name: str, *, pretrained: bool, initialized: bool, size: int | None) -> nn.Module:
    on_meta = torch.get_default_device().type == "meta"
    pretrained = pretrained and not on_meta
    try:
        return PACKAGES[package].create(name, pretrained=pretrained, initialized=initialized, size=size)
    except UserError:
        raise
    except NotImplementedError as error:  # torchvision computes the sizes of RegNet by tensors
        if not on_meta:
            raise UserError(f"model.name: {package} cannot create {name}: {first_line(error)}.") from error
        with torch.device("cpu"):
            return _create(package, name, pretrained=False, initialized=False, size=size).to("meta")
    except Exception as error:  # third-party code raises any type of error
        if not pretrained:
            raise UserError(f"model.name: {package} cannot create {name}: {first_line(error)}.") from error
        kind = FailedDownloadError if isinstance(error, OSError) else UserError  # the packages may have none of a name
        raise kind(
            f"model.pretrained: expected weights of {name} that {package} can download; got: {first_line(error)}."
            " Connect to the network, or type model.weights=FILE, or model.pretrained=false for random weights."
        ) from error
