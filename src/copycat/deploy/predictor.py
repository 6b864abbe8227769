"""A run's network with its final weights, built from the run's folder alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.augmentation.transforms import Augmentation, Light, Mixing, Unchanged, UniformNumbers
from copycat.data.loaders import to_float
from copycat.models.features import disable_feature_cache
from copycat.models.losses import Loss
from copycat.provenance.backbone import check_backbone
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened, read_weights
from copycat.training.component_builders import build_augmentation, build_loss, build_network, check_model
from copycat.training.process_state import isolated

DEFAULT_SIDE = 64
"""Side of images, in pixels, for runs of earlier versions, which did not record it."""


class ProbabilityNetwork(nn.Module):
    """Map decoded images to class probabilities, preprocessing included.

    Shape: uint8 [B, 3, size, size] RGB -> [B, classes] probabilities, in the network's own precision.
    """

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        """Wrap a network and the loss that defines its probabilities."""
        super().__init__()
        self.network, self.loss = network, loss
        self.dtype = next(network.parameters(), torch.empty(0)).dtype

    def forward(self, image: Tensor) -> Tensor:
        """Map uint8 [B, 3, size, size] to [B, classes] probabilities."""
        return self.probabilities(to_float(image, torch.promote_types(self.dtype, torch.float32)))

    def probabilities(self, image: Tensor) -> Tensor:
        """Map floats [B, 3, size, size] in [0, 1] to [B, classes] probabilities."""
        probability = self.loss.probability(self.network(image.to(self.dtype)))
        return torch.stack([1 - probability, probability], dim=1) if probability.ndim == 1 else probability


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Turn images into probabilities."""

    network: nn.Module
    loss: Loss
    classes: tuple[str, ...]
    """Class names, by label."""
    size: int
    """Side of the square images that the network takes, in pixels."""
    fit: str
    """How an image is made square: `crop`, `squash` or `pad`."""
    max_pixels: int | None = None
    """Limit on the pixels of a classified file; None: the default of `decode`."""
    views: int = 1
    augmentation: Augmentation
    """Makes the copies of an image, where there is more than one view."""

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 [B, 3, size, size] RGB to [B, classes] probabilities, in the network's own precision."""
        module = ProbabilityNetwork(self.network, self.loss)
        with torch.inference_mode():
            probability: Tensor = module(images)
            if self.views == 1:
                return probability
            with disable_feature_cache():  # a frozen backbone caches features of images, not of their copies
                copies = [module.probabilities(copy) for copy in self.augment(to_float(images))]
            return torch.stack([probability, *copies]).mean(0)

    def augment(self, images: Tensor) -> Iterator[Tensor]:
        """Yield each augmented copy of a batch, float32 [B, C, H, W] in [0, 1]."""
        # the same numbers for all images and any count, so that a prediction does not depend on other images
        draw = UniformNumbers(length=1, draws=self.augmentation.draws, seed=0)
        for view in range(1, self.views):
            yield self.augmentation(images, draw(view, torch.tensor([0])).expand(len(images), -1))


@contextmanager
def open_predictor(opened: Opened, *, views: int = 1) -> Iterator[Predictor]:
    """Yield the predictor of a completed run, with the run's own number of threads.

    It averages the probabilities of several views of each image: the image itself and augmented copies.

    Raises:
        UserError: where its weights are damaged, or its images are not RGB squares.
    """
    with isolated(threads=opened.manifest["provenance"]["environment"]["threads"]):
        yield _predictor(opened, views=views)


def _predictor(opened: Opened, *, views: int) -> Predictor:
    config, data = opened.config, opened.manifest["data"]
    side = config["data"].get("image_size") or DEFAULT_SIDE
    shape = tuple(data.get("image_shape", (3, side, side)))
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise UserError(f"{opened.folder}: expected a run on RGB squares; its images are {'×'.join(map(str, shape))}.")
    classes = tuple(data["classes"])
    check_model(config)
    network = build_network(config, image_shape=shape, classes=len(classes))
    check_backbone(network, opened.manifest, folder=opened.folder)
    _load_weights(network, read_weights(opened.folder / WEIGHTS, opened), opened.folder / WEIGHTS)
    megapixels = config["data"].get("max_megapixels")
    return Predictor(
        network=network.eval(),
        loss=build_loss(config["loss"], classes=len(classes)),
        classes=classes,
        size=shape[1],
        fit=config["data"].get("fit", "crop"),
        max_pixels=None if megapixels is None else round(megapixels * 1e6),
        views=views,
        augmentation=Unchanged() if views == 1 else _view_augmentation(config),
    )


def _view_augmentation(config: Mapping[str, Any]) -> Augmentation:
    """Return the run's augmentation without its mixing, or `light` where it has none."""
    augmentation = build_augmentation(config["augmentation"])
    if isinstance(augmentation, Mixing):
        augmentation = augmentation.base
    return Light() if isinstance(augmentation, Unchanged) else augmentation


def _load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    if dtype := next((tensor.dtype for tensor in weights.values() if tensor.is_floating_point()), None):
        network.to(dtype)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split()).partition(": ")[2]
        raise UserError(f"{path}: expected the weights of this run's network; {reason or first_line(error)}") from error
