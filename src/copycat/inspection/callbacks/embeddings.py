"""Last-layer features of validation images in TensorBoard's projector, with thumbnails."""

import torch
from torch import Tensor, nn

from copycat.data.loaders import to_float
from copycat.inspection.callbacks.histograms import capture_activations
from copycat.inspection.callbacks.inspector import Inspector, tensorboard_loggers
from copycat.training.run_context import RunContext

SIDE = 32
"""Side of a thumbnail in pixels: the projector shows all of them in one image of at most 8192 pixels a side."""


class Embeddings(Inspector):
    """Write the last hidden features of the final weights; a network without hidden layers has none.

    Args:
        images: number of validation images, from the first on.
    """

    def __init__(self, *, images: int = 1000) -> None:
        """Set the number of images."""
        self.images = images

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
        classes, predicted = context.data.classes, context.probabilities.argmax(1).tolist()
        rows = [
            [classes[label], classes[prediction], name]
            for label, prediction, name in zip(
                part.labels[:count].tolist(), predicted[:count], part.names[:count], strict=True
            )
        ]
        for logger in tensorboard_loggers(context.loggers):
            logger.experiment.add_embedding(
                hidden,
                metadata=rows,
                metadata_header=["is", "said", "name"],
                label_img=thumbnails,
                global_step=context.epochs,
                tag="last_hidden",
            )


def last_hidden(network: nn.Module, image: Tensor) -> Tensor | None:
    """Return the input of the last linear layer; None where that is the image itself.

    Shapes: float [N, C, H, W] in [0, 1] -> float32 [N, width] on the CPU.
    """
    like = next(network.parameters())
    layers = [
        (name, m, inputs)
        for name, (m, inputs, _) in capture_activations(network, image.to(like)).items()
        if isinstance(m, nn.Linear)
    ]
    if not layers:
        return None
    _, module, inputs = layers[-1]
    first = next(m for m in network.modules() if list(m.parameters(recurse=False)))
    hidden = inputs.flatten(1)
    is_image = module is first and hidden.shape == image.flatten(1).shape
    return None if is_image else hidden.float().cpu()
