"""Last-layer features of validation images in TensorBoard's projector, with thumbnails."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from copycat.data.labels import label_names
from copycat.data.loaders import to_float
from copycat.inspection.callbacks.histograms import capture_activations
from copycat.inspection.callbacks.inspector import Inspector, tensorboard_loggers
from copycat.models.network_input import to_input
from copycat.training.run_context import RunContext

SIDE = 32
"""Side of a thumbnail in pixels: the projector shows all of them in one image of at most 8192 pixels a side."""


@dataclass(kw_only=True, eq=False)
class Embeddings(Inspector):
    """Write the last hidden features of the final weights; a network without hidden layers has none."""

    images: int = 1000
    """Number of validation images, from the first on."""

    def on_run_end(self, context: RunContext) -> None:
        """Write features, classes and thumbnails to TensorBoard."""
        part, network = context.data.parts["val"], context.classifier.network
        count = min(self.images, len(part))
        image = torch.stack([part.images[index] for index in range(count)])
        hidden = last_hidden(network, to_float(image))
        if hidden is None:
            return
        side = [min(SIDE, length) for length in image.shape[-2:]]
        thumbnails = nn.functional.interpolate(to_float(image), size=side, mode="area")
        classes = context.data.classes
        probability = context.probabilities[:count]
        predicted = probability > 0.5 if part.is_multi_label else probability.argmax(1)
        names = (label_names(labels, classes) for labels in (part.labels[:count], predicted))
        rows = [list(row) for row in zip(*names, part.names[:count], strict=True)]
        for logger in tensorboard_loggers(context.loggers):
            logger.experiment.add_embedding(
                hidden,
                metadata=rows,
                metadata_header=["true class", "predicted class", "name"],
                label_img=thumbnails,
                global_step=context.epochs,
                tag="last_hidden",
            )


def last_hidden(network: nn.Module, image: Tensor) -> Tensor | None:
    """Return the input of the last linear layer; None where that is the image itself.

    Shapes: float [N, C, H, W] in [0, 1] -> float32 [N, width] on the CPU.
    """
    captured = capture_activations(network, to_input(image, network)).values()
    layers = [layer for layer in captured if isinstance(layer[0], nn.Linear)]
    if not layers:
        return None
    module, inputs, _ = layers[-1]
    first = next(m for m in network.modules() if list(m.parameters(recurse=False)))
    hidden = inputs.flatten(1)
    is_image = module is first and hidden.shape == image.flatten(1).shape
    return None if is_image else hidden.float().cpu()
