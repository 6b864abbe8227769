"""Compute with batches of which each of several ranks has a part."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from copycat.models.loss_base import Loss

T = TypeVar("T")


class Collectives(Protocol):
    """Communicate between the ranks of a run; every rank must call each method at the same time."""

    rank: int
    size: int

    def sum_step(self, values: Sequence[Tensor]) -> Tensor:
        """Return the sums over the ranks of scalars, float64 on the CPU; also agree on the decisions of the step."""

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the values of each rank, [n, …] of any n, on the first rank; an empty list on the others."""

    def make_on_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes."""


class SharedBatches:
    """Join losses and predictions of ranks that each have a part of each batch."""

    def __init__(self, ranks: Collectives) -> None:
        """Communicate by these collectives."""
        self.ranks = ranks
        self.is_first = ranks.rank == 0

    def total_loss(self, criterion: Loss, part: Tensor, label: Tensor, *, pads: bool) -> tuple[Tensor, int]:
        """Return the loss of a whole batch, and its number of images.

        The value is the same on all ranks. Its gradient is that of this rank's part times the number of ranks, so that
        the mean of the gradients over the ranks is the gradient of the whole batch's loss.

        Args:
            criterion: computed the part's loss.
            part: loss of this rank's part, a scalar.
            label: labels of this rank's part.
            pads: whether the part is empty, and `part` of an image of weight 0.
        """
        own = criterion.denominator(label).cpu() * (0 if pads else 1)
        detached = part.detach().double().cpu()
        # a part without weight, as of a class of weight 0, has the loss 0 / 0
        cost = detached * own if own else torch.zeros((), dtype=torch.float64)
        cost_sum, own_sum, images = self.ranks.sum_step([cost, own, torch.tensor(0.0 if pads else len(label))])
        whole = own_sum if criterion.reduction == "mean" else torch.ones((), dtype=torch.float64)
        total = (cost_sum / whole).to(part)
        share = part * (own / whole * self.ranks.size).to(part) if own else torch.nan_to_num(part) * 0
        return _WithValue.apply(share, total), int(images)  # type: ignore[no-untyped-call]

    def join(self, part: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the ranks' parts of all batches, [N, …], in the order of one rank; empty on all but the first.

        `sizes` are the lengths of this rank's parts, which `part` holds one after another.
        """
        pieces, lengths = self.ranks.gather(part.cpu()), self.ranks.gather(torch.tensor(sizes))
        if not self.is_first:
            return part[:0]
        split = [torch.split(values, each.tolist()) for values, each in zip(pieces, lengths, strict=True)]
        return torch.cat([piece for batch in zip(*split, strict=True) for piece in batch])

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes."""
        return self.ranks.make_on_first(make)


class _WithValue(torch.autograd.Function):
    """Give a tensor another value, and keep its gradient: an optimizer's line search must see one loss everywhere."""

    @staticmethod
    def forward(_: Any, __: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
