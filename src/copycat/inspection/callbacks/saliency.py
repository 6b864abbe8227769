"""Saliency maps: how strongly each pixel affects the prediction."""

import logging

import numpy as np
import torch
from torch import Tensor, nn

from copycat.data.loaders import to_float
from copycat.inspection.callbacks.contact_sheet import Picture, sheet, summary_of
from copycat.inspection.callbacks.input_images import pictures
from copycat.inspection.callbacks.inspector import Inspector, boards
from copycat.inspection.callbacks.mistakes import least_sure, most_wrong
from copycat.training.run_context import RunContext

log = logging.getLogger(__name__)
COPIES = 20
"""Noisy copies of an image over which a map is averaged."""
NOISE = 0.1
"""Standard deviation of the noise, relative to the range of pixels."""


class SaliencyMaps(Inspector):
    """Write saliency maps of the most confident errors, then of the least confident predictions, each beside its image.

    Args:
        count: images, at most.
    """

    def __init__(self, *, count: int = 8) -> None:
        """Set the number of images."""
        self.count = count

    def on_run_end(self, context: RunContext) -> None:
        """Compute the maps and write them to TensorBoard."""
        found = boards(context.loggers)
        if not found:
            return
        part, probability = context.data.parts["val"], context.probabilities.numpy()
        wrong = most_wrong(probability, part.labels.numpy(), count=self.count)
        places = list(dict.fromkeys([*wrong, *least_sure(probability, count=self.count)]))[: self.count]
        image = torch.stack([part.images[place] for place in places])
        maps = saliency(context.classifier.network, to_float(image))
        if maps is None:
            log.info("no saliency maps: no gradient comes back to the pixels")
            return
        classes = context.data.classes
        shown: list[Picture] = []
        words: list[str] = []
        for place, picture, seen in zip(places, pictures(image), maps, strict=True):
            shown += [picture, heat(seen)]
            said = int(probability[place].argmax())
            words += [f"is {classes[int(part.labels[place])]}", f"says {classes[said]}, {probability[place, said]:.2f}"]
        for board in found:
            board.write(summary_of("validation/saliency", sheet(shown, words)), context.epochs)


def saliency(network: nn.Module, image: Tensor) -> Tensor | None:
    """Return the absolute gradient of the predicted class with respect to the pixels, summed over channels.

    The gradient is averaged over noisy copies, since at one point it varies from pixel to pixel. The noise has its own
    generator: no random number is drawn from torch's.

    Args:
        network: restored to its training modes afterwards.
        image: float [N, C, H, W] in [0, 1].

    Returns:
        float32 [N, H, W], scaled so that each image's maximum is 1; None where no gradient reaches the pixels.

    Source: Smilkov et al. 2017, SmoothGrad, https://arxiv.org/abs/1706.03825.
    """
    like, modes = next(network.parameters()), {module: module.training for module in network.modules()}
    image = image.to(like)
    own = torch.Generator().manual_seed(0)
    total = torch.zeros_like(image)
    try:
        network.eval()
        with torch.inference_mode(False), torch.enable_grad():
            with torch.no_grad():
                logits = network(image.clone())  # a copy: the first layer may write to it
            chosen = logits.argmax(1, keepdim=True) if logits.shape[1] > 1 else torch.zeros_like(logits).long()
            for _ in range(COPIES):
                noise = torch.randn(image.shape, generator=own).to(image) * NOISE
                given = (image + noise).requires_grad_()
                said = network(given.clone()).gather(1, chosen).sum()
                (gradient,) = torch.autograd.grad(said, given, allow_unused=True)
                if gradient is None:
                    return None
                total += gradient.abs()
    finally:
        for module, training in modes.items():
            module.training = training
    found = total.sum(1).float().cpu()
    largest = found.flatten(1).amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    return found / largest[:, None, None]


def heat(seen: Tensor) -> Picture:
    """Color a map [H, W] with values in [0, 1] from black over red and yellow to white."""
    value = seen.numpy()[..., None] * 3
    return (np.clip(value - np.arange(3), 0, 1) * 255).round().astype(np.uint8)
