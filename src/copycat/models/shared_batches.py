"""Compute with batches of which each of several ranks has a part."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from copycat.models import prediction_buffer
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

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes, JSON's values, however long it takes."""


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

    def join(self, probability: Tensor, label: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the predictions of all ranks, in the order of one rank; empty on all but the first.

        They are gathered for some batches at a time, so that no rank holds more in memory than a buffer does.

        Args:
            probability: of this rank's parts of the batches, one after another, [n, …].
            label: their labels, [n, …].
            sizes: their lengths.
        """
        row_bytes = probability[:1].nbytes + label[:1].nbytes + 1
        at_once = self.from_first(lambda: max(1, prediction_buffer.MAX_BYTES // (row_bytes * max(sizes))))
        whole, start = prediction_buffer.PredictionBuffer(), 0
        for first in range(0, len(sizes), at_once):
            some = sizes[first : first + at_once]
            rows = slice(start, start + sum(some))
            joined = [self._join_batches(values[rows].cpu(), some) for values in (probability, label)]
            if self.is_first:
                whole.append(*joined)
            start = rows.stop
        return whole.concatenated() if self.is_first else (probability[:0], label[:0])

    def _join_batches(self, part: Tensor, sizes: Sequence[int]) -> Tensor:
        pieces, lengths = self.ranks.gather(part), self.ranks.gather(torch.tensor(sizes))
        if not self.is_first:
            return part[:0]
        split = [torch.split(values, each.tolist()) for values, each in zip(pieces, lengths, strict=True)]
        return torch.cat([piece for batch in zip(*split, strict=True) for piece in batch])

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes, however long it takes."""
        return self.ranks.from_first(make)


class _WithValue(torch.autograd.Function):
    """Give a tensor another value, and keep its gradient: an optimizer's line search must see one loss everywhere."""

    @staticmethod
    def forward(_: Any, __: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
