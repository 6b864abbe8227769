"""A network with its preprocessing, its probabilities and its temperature, as one module."""

from itertools import chain

import torch
from torch import Tensor, nn

from copycat.data.loaders import to_float
from copycat.models.losses import BCEWithLogits, CrossEntropy, Focal, Loss
from copycat.models.network_input import input_dtype

OF_LOGITS = (BCEWithLogits.probability, CrossEntropy.probability, Focal.probability)
"""Probabilities that are a sigmoid of one logit, or a softmax of several."""


class ProbabilityNetwork(nn.Module):
    """Map decoded images to class probabilities, preprocessing and temperature included.

    Shape: uint8 [B, 3, size, size] RGB -> [B, classes] probabilities, in the network's own precision.
    """

    def __init__(self, network: nn.Module, loss: Loss, temperature: float | None = None) -> None:
        """Wrap a network and the loss that defines its probabilities; with a temperature, these are scaled by it."""
        super().__init__()
        self.network, self.loss, self.temperature = network, loss, temperature
        self.dtype = input_dtype(chain(network.parameters(), network.buffers()))

    def forward(self, image: Tensor) -> Tensor:
        """Map uint8 [B, 3, size, size] to [B, classes] probabilities."""
        return self.probabilities(to_float(image, torch.promote_types(self.dtype, torch.float32)))

    def probabilities(self, image: Tensor) -> Tensor:
        """Map floats [B, 3, size, size] in [0, 1] to [B, classes] probabilities."""
        if self.temperature is not None:
            return (self.logits(image) / self.temperature).softmax(1)
        probability = self.loss.probability(self.network(image.to(self.dtype)))
        return torch.stack([1 - probability, probability], dim=1) if probability.ndim == 1 else probability

    def logits(self, image: Tensor) -> Tensor:
        """Map floats [B, 3, size, size] in [0, 1] to [B, classes] logits, to which no temperature is applied."""
        return class_logits(self.loss, self.network(image.to(self.dtype)))


def class_logits(loss: Loss, output: Tensor) -> Tensor:
    """Return logits whose softmax is the class probabilities, [B, classes], of a network's output.

    They are the output itself where the loss takes a sigmoid or a softmax of it, which keeps what its probability would
    round to 0 or 1; of other losses they are the logarithms of the probabilities.
    """
    if type(loss).probability in OF_LOGITS:
        return torch.cat([torch.zeros_like(output), output], dim=1) if output.shape[1] == 1 else output
    found = loss.probability(output)
    found = torch.stack([1 - found, found], dim=1) if found.ndim == 1 else found
    return found.clamp(min=torch.finfo(found.dtype).tiny).log()
