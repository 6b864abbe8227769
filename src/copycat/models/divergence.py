"""Report training whose loss or weights are no longer finite."""

from torch import Tensor


class DivergedError(RuntimeError):
    """Report that the loss or a weight is no longer a finite number."""


def divergence_error(epoch: int, batch: int, loss: Tensor) -> DivergedError:
    """Return the error for a training step whose loss is not finite."""
    return DivergedError(f"the loss of epoch {epoch}, batch {batch} is {loss.item()}")
