"""Fit the candidates of a search to the size and the number of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from copycat.config.compose import compose
from copycat.config.own_modules import allow_own_modules
from copycat.config.portfolio import PORTFOLIO
from copycat.training.train import check_buildable

PIXEL_SIZES = (64, 32, 16)
"""Sides in pixels of images for networks without a pretrained backbone: the largest that enlarges none of them."""
BACKBONE_SIZES = (224, 128)
"""The same for pretrained backbones, which take enlarged images too."""
ENLARGEMENT = 1.25
"""Factor by which most images may be enlarged."""
USUAL_IMAGES = 200
"""Number of training images for which experiments state their epochs."""
MIN_EPOCHS = 5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Hold one candidate of a search."""

    name: str
    words: list[str]
    """Overrides that configure it."""


def make_candidate(name: str, fixed: Sequence[str], *, images: int, side: int) -> Candidate:
    """Fit an experiment of the portfolio to a data set.

    Args:
        name: of the experiment.
        fixed: words of the data, and others that all candidates share; they have precedence.
        images: number of images to train on.
        side: median of the shorter sides of the images, in pixels.

    Raises:
        UserError: where it cannot be composed, as it needs a package that is not installed.
    """
    words = [f"experiment={PORTFOLIO}/{name}"]
    config = compose([*fixed, *words], check_data=False).config
    given = {word.partition("=")[0] for word in fixed}
    fitting = {**_fit_size(config, side), **_fit_epochs(config, images)}
    words += [f"{key}={value}" for key, value in fitting.items() if key not in given]
    request = compose([*fixed, *words])
    allow_own_modules(request.config)
    check_buildable(request)
    return Candidate(name=name, words=words)


def _fit_size(config: Mapping[str, Any], side: int) -> dict[str, int]:
    has_backbone = "backbone_size" in config["model"]
    sizes = BACKBONE_SIZES if has_backbone else PIXEL_SIZES
    size = next((size for size in sizes if size <= ENLARGEMENT * side), sizes[-1])
    return {"model.backbone_size" if has_backbone else "data.image_size": size}


def _fit_epochs(config: Mapping[str, Any], images: int) -> dict[str, int]:
    """Return fewer epochs for more images in batches: the number of steps grows as the square root of the images."""
    if config["data"]["batch_size"] is None or images <= USUAL_IMAGES:
        return {}
    epochs = config["trainer"]["max_epochs"]
    return {"trainer.max_epochs": min(epochs, max(MIN_EPOCHS, round(epochs * sqrt(USUAL_IMAGES / images))))}
