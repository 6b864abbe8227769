"""A run's network with its final weights, made from the run's folder alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.loaders import to_float
from copycat.deploy.tta import Views, views_of
from copycat.models.features import disable_feature_cache
from copycat.models.losses import Loss
from copycat.provenance.backbone import check_backbone
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened, read_weights
from copycat.training.factory import build_loss, build_network
from copycat.training.process_state import isolated

SIDE = 64
"""Of the images of a run that does not say: it is of an earlier version, on the lecture's cats or on drawn ones."""


class Said(nn.Module):
    """A network from an image as it is read to what is said of it: the preprocessing is in it.

    Shapes: uint8 [B, 3, size, size] RGB -> [B, classes] probabilities, in the network's own precision.
    """

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.dtype = next(network.parameters(), torch.empty(0)).dtype

    def forward(self, image: Tensor) -> Tensor:
        return self.of(to_float(image))

    def of(self, image: Tensor) -> Tensor:
        """Float32 [B, 3, size, size] in [0, 1] -> [B, classes] probabilities."""
        found = self.loss.probability(self.network(image.to(self.dtype)))
        return torch.stack([1 - found, found], dim=1) if found.ndim == 1 else found


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """What turns images into probabilities."""

    network: nn.Module
    loss: Loss
    classes: tuple[str, ...]
    """By label."""
    size: int
    """Side of the square images that the network takes, in pixels."""
    fit: str
    """How an image becomes a square: `crop`, `squash` or `pad`."""
    max_pixels: int | None = None
    """Of a file that is classified; None: as `decode` has it."""
    views: Views | None = None
    """Changed copies of each image that have a say too."""

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, size, size] RGB -> [B, classes] probabilities on the CPU, in the network's own precision."""
        said = Said(self.network, self.loss)
        with torch.inference_mode():
            found: Tensor = said(images)
            if self.views is None:
                return found
            with disable_feature_cache():  # a frozen backbone is to remember images, not their copies
                copies = [said.of(copy) for copy in self.views(to_float(images))]
            return torch.stack([found, *copies]).mean(0)


@contextmanager
def opened_predictor(opened: Opened, *, views: int = 1) -> Iterator[Predictor]:
    """The predictor of a completed run, on as many threads as the run had.

    Args:
        opened: by `open_completed`.
        views: of each image, itself and changed copies of it, whose probabilities are averaged.

    Raises:
        UserError: where its weights are damaged, or it was on images that are not RGB squares.
    """
    with isolated(threads=opened.manifest["provenance"]["environment"]["threads"]):
        yield _predictor(opened, views=views)


def _predictor(opened: Opened, *, views: int) -> Predictor:
    config, data = opened.config, opened.manifest["data"]
    side = config["data"].get("image_size") or SIDE
    shape = tuple(data.get("image_shape", (3, side, side)))
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise UserError(f"{opened.folder}: expected a run on RGB squares; its images are {'×'.join(map(str, shape))}.")
    classes = tuple(data["classes"])
    network = build_network(config, image_shape=shape, classes=len(classes))
    check_backbone(network, opened.manifest, folder=opened.folder)
    _fill(network, read_weights(opened.folder / WEIGHTS, opened), opened.folder / WEIGHTS)
    loss = build_loss(config["loss"], classes=len(classes))
    fit = config["data"].get("fit", "crop")
    megapixels = config["data"].get("max_megapixels")
    return Predictor(
        network=network.eval(),
        loss=loss,
        classes=classes,
        size=shape[1],
        fit=fit,
        max_pixels=None if megapixels is None else round(megapixels * 1e6),
        views=views_of(config, count=views),
    )


def _fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    if dtype := next((tensor.dtype for tensor in weights.values() if tensor.is_floating_point()), None):
        network.to(dtype)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split()).partition(": ")[2]
        raise UserError(f"{path}: expected the weights of this run's network; {said or first_line(error)}") from error
