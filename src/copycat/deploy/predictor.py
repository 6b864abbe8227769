"""A run's network with its final weights and its calibration, built from the run's folder alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line, one_of
from copycat.data.augmentation.transforms import Augmentation, Light, Mixing, Unchanged, UniformNumbers
from copycat.data.loaders import to_float
from copycat.deploy.decision import DEFAULT_THRESHOLD, decide, decide_labels, make_sets
from copycat.deploy.probability_network import ProbabilityNetwork
from copycat.models.features import disable_feature_cache
from copycat.models.losses import Loss
from copycat.models.max_pooling import pool_in_channels_last
from copycat.models.network_input import input_dtype
from copycat.models.stored_weights import recorded_backbone
from copycat.provenance.backbone import check_backbone
from copycat.provenance.code import as_mapping, find_changed_files
from copycat.records.calibration_file import Calibration, read_calibration
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened, read_weights
from copycat.training.component_builders import build_augmentation, build_loss, build_network, check_model
from copycat.training.process_state import isolated

DEFAULT_SIDE = 64
"""Side of images, in pixels, for runs of earlier versions, which did not record it."""


@dataclass(frozen=True)
class Decisions:
    """Hold the decisions for N images."""

    labels: NDArray[np.int64] | NDArray[np.bool_]
    """Predicted label of each, [N]; or [N, classes], whether each class is predicted, where images may have several."""
    sets: NDArray[np.bool_] | None = None
    """Which classes are in the conformal set of each, [N, classes]; None of a run without such sets."""

    @classmethod
    def of(
        cls, probability: NDArray[np.floating], calibration: Calibration | None, *, multi_label: bool = False
    ) -> "Decisions":
        """Decide by calibrated probabilities, [N, classes]."""
        rule = decision_rule(calibration, classes=probability.shape[1], multi_label=multi_label)
        if multi_label:
            return cls(decide_labels(probability, **rule))
        return cls(decide(probability, **rule), make_sets(probability, **rule))


def decision_rule(calibration: Calibration | None, *, classes: int, multi_label: bool) -> dict[str, Any]:
    """Return the decision rule, for `deploy.decision`; with several classes per image, a threshold for each."""
    rule = calibration.decision() if calibration else {}
    return {"thresholds": [DEFAULT_THRESHOLD] * classes, **rule} if multi_label else rule


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Turn images into probabilities, and these into decisions. A run's calibration is applied here alone."""

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
    calibration: Calibration | None = None

    @property
    def is_multi_label(self) -> bool:
        """Return whether images may have several classes, or none."""
        return self.loss.is_multi_label

    @property
    def rule(self) -> dict[str, Any]:
        """Return the decision rule, for `deploy.decision`."""
        return decision_rule(self.calibration, classes=len(self.classes), multi_label=self.is_multi_label)

    @property
    def module(self) -> ProbabilityNetwork:
        """Return the network from decoded images to probabilities, calibrated where the run is."""
        temperature = None if self.calibration is None or self.is_multi_label else self.calibration.temperature
        return ProbabilityNetwork(self.network, self.loss, temperature)

    def decide(self, probability: Tensor) -> Decisions:
        """Decide by probabilities [B, classes] as this predictor gives them."""
        return Decisions.of(probability.double().numpy(), self.calibration, multi_label=self.is_multi_label)

    def logits(self, images: Tensor) -> Tensor:
        """Map uint8 [B, 3, size, size] RGB to [B, classes] logits, of one view and without a temperature."""
        with torch.inference_mode():
            return self.module.logits(to_float(images, torch.promote_types(self.module.dtype, torch.float32)))

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 [B, 3, size, size] RGB to [B, classes] probabilities, in the network's own precision."""
        module = self.module
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
def open_predictor(opened: Opened, *, views: int = 1, calibrated: bool = True) -> Iterator[Predictor]:
    """Yield the predictor of a completed run, with the run's own number of threads.

    It averages the probabilities of several views of each image: the image itself and augmented copies. The run's
    calibration.json is applied to each view, unless `calibrated` is false.

    Raises:
        UserError: where its weights or its calibration are damaged, or its images are not RGB squares.
    """
    with isolated(threads=opened.manifest["provenance"]["environment"]["threads"]):
        predictor = _predictor(opened, views=views)
        # after the weights: where these were changed, so is what the calibration says of them
        made = read_calibration(opened.folder, classes=len(predictor.classes)) if calibrated else None
        yield replace(predictor, calibration=made)


def _predictor(opened: Opened, *, views: int) -> Predictor:
    config, data = opened.config, opened.manifest["data"]
    side = config["data"].get("image_size") or DEFAULT_SIDE
    shape = tuple(data.get("image_shape", (3, side, side)))
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise UserError(f"{opened.folder}: expected a run on RGB squares; its images are {'×'.join(map(str, shape))}.")
    classes = tuple(data["classes"])
    check_model(config)
    with recorded_backbone(opened.manifest, folder=opened.folder, with_trained=True):
        network = build_network(config, image_shape=shape, classes=len(classes))
    _report_changed_code(opened)
    check_backbone(network, opened.manifest, folder=opened.folder)
    _load_weights(network, read_weights(opened.folder / WEIGHTS, opened), opened.folder / WEIGHTS)
    pool_in_channels_last(network)
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


def _report_changed_code(opened: Opened) -> None:
    """Say on standard error which files of the user's own network are not those that the run trained with."""
    nodes = {name: opened.config[name] for name in ("model", "loss")}
    code = as_mapping(opened.manifest["provenance"].get("code"))
    if changed := find_changed_files(nodes, code):
        print_line(
            f"copycat: {opened.user_path}: {one_of(changed, most=4)} changed since this run: its predictions may be"
            f" others. See what differs: copycat rerun {quote(str(opened.user_path))} --check",
            error=True,
        )


def _view_augmentation(config: Mapping[str, Any]) -> Augmentation:
    """Return the run's augmentation without its mixing, or `light` where it has none."""
    augmentation = build_augmentation(config["augmentation"])
    if isinstance(augmentation, Mixing):
        augmentation = augmentation.base
    return Light() if isinstance(augmentation, Unchanged) else augmentation


def _load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    if (dtype := input_dtype(weights.values())) != torch.float32:
        network.to(dtype)
    for name, tensor in network.state_dict(keep_vars=True).items():
        if name in weights:  # complex weights, and layers in another precision than the rest, keep theirs
            tensor.data = tensor.data.to(weights[name].dtype)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split()).partition(": ")[2]
        raise UserError(f"{path}: expected the weights of this run's network; {reason or first_line(error)}") from error
