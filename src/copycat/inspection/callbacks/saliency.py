"""Saliency maps: how strongly each pixel affects the prediction."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from copycat.data.labels import label_names
from copycat.data.loaders import to_float
from copycat.inspection.callbacks.contact_sheet import Picture, contact_sheet, image_summary
from copycat.inspection.callbacks.input_images import to_pictures
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.inspection.callbacks.mistakes import CELL, least_confident, most_confident_errors
from copycat.models.network_input import to_input
from copycat.training.run_context import RunContext

log = logging.getLogger(__name__)
COPIES = 20
"""Noisy copies of an image over which a map is averaged."""
NOISE = 0.1
"""Standard deviation of the noise, relative to the range of pixels."""


@dataclass(kw_only=True, eq=False)
class AttributionMaps(Inspector):
    """Write maps of the most confident errors, then of the least confident predictions, beside the images."""

    name: ClassVar[str]
    """Of the maps in TensorBoard, and of the callback's option."""
    count: int = 8
    """Images, at most."""

    def attribute(self, network: nn.Module, image: Tensor, predicted: Sequence[int]) -> Tensor | None:
        """Return maps of images, float [N, C, H, W] -> float32 [N, H, W] in [0, 1]; None where there are none."""
        raise NotImplementedError

    def on_run_end(self, context: RunContext) -> None:
        """Compute the maps and write them to loggers."""
        loggers = summary_loggers(context.loggers)
        if not loggers:
            return
        part, probability = context.data.parts["val"], context.probabilities.numpy()
        wrong = most_confident_errors(probability, part.labels.numpy(), count=self.count)
        unsure = least_confident(probability, count=self.count, multi_label=part.is_multi_label)
        indices = list(dict.fromkeys([*wrong, *unsure]))[: self.count]
        image = torch.stack([part.images[index] for index in indices])
        predicted = [int(probability[index].argmax()) for index in indices]
        maps = self.attribute(context.classifier.network, to_float(image), predicted)
        if maps is None:
            log.info("no %s maps: no gradient comes back to the pixels, or no layer has a map", self.name)
            return
        classes = context.data.classes
        pictures: list[Picture] = []
        captions: list[str] = []
        for index, label, picture, found in zip(indices, predicted, to_pictures(image), maps, strict=True):
            pictures += [picture, heatmap(found)]
            captions += [
                f"true {label_names(part.labels[index : index + 1], classes)[0]}",
                explained_class(classes[label], probability[index, label], multi_label=part.is_multi_label),
            ]
        for logger in loggers:
            logger.write(
                image_summary(f"validation/{self.name}", contact_sheet(pictures, captions, side=CELL)), context.epochs
            )


@dataclass(kw_only=True, eq=False)
class SaliencyMaps(AttributionMaps):
    """Write saliency maps: how strongly each pixel affects the prediction."""

    name: ClassVar[str] = "saliency"

    def attribute(self, network: nn.Module, image: Tensor, predicted: Sequence[int]) -> Tensor | None:
        """Return the absolute gradients of the predicted class, averaged over noisy copies."""
        return saliency(network, image)


def saliency(network: nn.Module, image: Tensor) -> Tensor | None:
    """Return the absolute gradient of the predicted class with respect to the pixels, summed over channels.

    The gradient is averaged over noisy copies, since at one point it varies from pixel to pixel. The noise has its own
    generator: no random number is drawn from torch's. None where no gradient reaches the pixels.

    Shapes: float [N, C, H, W] in [0, 1] -> float32 [N, H, W], scaled so that each image's maximum is 1.

    Source: Smilkov et al. 2017, SmoothGrad, https://arxiv.org/abs/1706.03825.
    """
    image = to_input(image, network)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(image)
    with evaluation_with_gradients(network):
        with torch.no_grad():
            logits = network(image.clone())  # a copy: the first layer may write to it
        chosen = logits.argmax(1, keepdim=True) if logits.shape[1] > 1 else torch.zeros_like(logits).long()
        for _ in range(COPIES):
            noise = torch.randn(image.shape, generator=generator).to(image) * NOISE
            noisy = (image + noise).requires_grad_()
            score = network(noisy.clone()).gather(1, chosen).sum()
            (gradient,) = torch.autograd.grad(score, noisy, allow_unused=True)
            if gradient is None:
                return None
            total += gradient.abs()
    return scale_maps(total.sum(1))


@contextmanager
def evaluation_with_gradients(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, with gradients; restore the modes of its modules in the end."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def scale_maps(maps: Tensor) -> Tensor:
    """Scale maps [N, H, W] without negative values so that each has a maximum of 1, as float32 on the CPU."""
    maps = maps.float().cpu()
    largest = maps.flatten(1).amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    return maps / largest[:, None, None]


def explained_class(name: str, probability: float, *, multi_label: bool) -> str:
    """Name the class that a map is of: the likeliest one, which is not predicted where each class takes above 0.5."""
    return f"{'predicted' if probability > 0.5 or not multi_label else 'likeliest'} {name}, {probability:.2f}"


def heatmap(saliency_map: Tensor) -> Picture:
    """Color a map [H, W] with values in [0, 1] from black over red and yellow to white."""
    value = saliency_map.numpy()[..., None] * 3
    return (np.clip(value - np.arange(3), 0, 1) * 255).round().astype(np.uint8)
