"""Compute with batches of which each of several ranks has a part."""

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from copycat.models import prediction_buffer
from copycat.models.loss_base import Loss

T = TypeVar("T")


class Communicator(Protocol):
    """Communicate between the ranks of a run; every rank must call each method at the same time."""

    rank: int
    size: int

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums over the ranks of values on the CPU."""

    def start_sum_step(self, values: Tensor) -> Callable[[], Tensor]:
        """Start to sum values over the ranks, float64 [n] on the CPU, and to agree on the decisions of the step.

        What it returns waits for the sums; it may be called once.
        """

    def gather(self, values: Sequence[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
        """Return the tensors of each rank, [n, …] of its n in `lengths`, on the first one; else an empty list."""

    def from_first(self, make: Callable[[], T]) -> T:
        """Return the first rank's object, of JSON's types, however long it takes."""


class SharedBatches:
    """Join losses and predictions of ranks that each have a part of each batch."""

    def __init__(self, ranks: Communicator) -> None:
        """Communicate by these collectives."""
        self.ranks = ranks
        self.is_first = ranks.rank == 0

    def is_empty(self, images: int) -> bool:
        """Return whether this rank has no image of a batch of so many, but one of weight 0."""
        return self.ranks.rank >= images

    def loss_terms(self, criterion: Loss, part: Tensor, label: Tensor, *, images: int) -> Tensor:
        """Return the terms that ranks sum for the loss of a whole batch: loss times denominator, and denominator.

        Args:
            criterion: computed the part's loss.
            part: loss of this rank's part, a scalar.
            label: labels of this rank's part.
            images: number of images of the whole batch.

        Returns:
            float64 [2] on the CPU.
        """
        own = criterion.denominator(label).cpu() * (0 if self.is_empty(images) else 1)
        # a part without weight, as of a class of weight 0, has the loss 0 / 0
        cost = part.detach().double().cpu() * own if own else torch.zeros_like(own)
        return torch.stack([cost, own])

    def start_step(
        self, criterion: Loss, part: Tensor, label: Tensor, *, images: int, then: Callable[[Tensor], None]
    ) -> Tensor:
        """Return the loss of this rank's part, scaled to be trained on, and start to sum that of the whole batch.

        The mean over the ranks of its gradients, and of its values, is that of the whole batch's loss. `finish_step`
        calls `then` with the whole batch's loss, the same on all ranks; until then the ranks need not wait for each
        other, unless the denominator depends on the labels of all. Other arguments as for `loss_terms`.
        """
        terms = self.loss_terms(criterion, part, label, images=images)
        find_sums, like = cache(self.ranks.start_sum_step(terms)), part.detach()

        def finish() -> Tensor:
            loss = _divide(find_sums(), criterion).to(like)
            then(loss)
            return loss

        self._finish = finish
        own, whole = terms[1], criterion.fixed_denominator(images)
        if whole is None:
            whole = float(find_sums()[1]) if criterion.reduction == "mean" else 1.0
        return part * (own / whole * self.ranks.size).to(part) if own else torch.nan_to_num(part) * 0

    def finish_step(self) -> None:
        """Find the loss of the whole batch, and record it; after the backward pass, in which ranks wait anyway."""
        self._whole_loss = self._finish()

    def with_whole_loss(self, closure: Callable[[], Any]) -> Callable[[], Tensor]:
        """Return a closure of an optimizer that returns the loss of the whole batch in place of the part's."""

        def evaluate() -> Tensor:
            closure()
            return self._whole_loss

        return evaluate

    def total_losses(self, criterion: Loss, terms: Sequence[Tensor]) -> Tensor:
        """Return the losses of whole batches, float64 [batches], from each one's `loss_terms`."""
        return _divide(self.ranks.sum(torch.stack(list(terms), 1)), criterion)

    def join(self, probability: Tensor, label: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the predictions of all ranks, in the order of one rank; empty on all but the first.

        They are gathered for some batches at a time, so that no rank holds more in memory than a buffer does.

        Args:
            probability: of this rank's parts of the batches, one after another, [n, …].
            label: their labels, [n, …].
            sizes: their lengths.
        """
        lengths = torch.zeros(self.ranks.size, len(sizes), dtype=torch.int64)
        lengths[self.ranks.rank] = torch.tensor(sizes)
        lengths = self.ranks.sum(lengths)
        row_bytes = sum(values.itemsize * prod(values.shape[1:]) for values in (probability, label))
        chunk_size = max(1, prediction_buffer.MAX_BYTES // max(1, row_bytes * int(lengths.max())))
        whole, start = prediction_buffer.PredictionBuffer(), 0
        for some in torch.split(lengths, chunk_size, dim=1):
            rows = slice(start, start + int(some[self.ranks.rank].sum()))
            parts = self.ranks.gather([probability[rows].cpu(), label[rows].cpu()], some.sum(1).tolist())
            if self.is_first:
                whole.append(*(_join_batches(values, some.tolist()) for values in zip(*parts, strict=True)))
            start = rows.stop
        return whole.concatenated() if self.is_first else (probability[:0], label[:0])

    def from_first(self, make: Callable[[], T]) -> T:
        """Return the first rank's object, however long it takes."""
        return self.ranks.from_first(make)


def _divide(sums: Tensor, criterion: Loss) -> Tensor:
    """Return the losses of whole batches, from the sums [2] or [2, batches] of all ranks' terms."""
    return sums[0] / sums[1] if criterion.reduction == "mean" else sums[0]


def _join_batches(parts: Sequence[Tensor], lengths: Sequence[list[int]]) -> Tensor:
    """Return the values of all ranks, each [n, …] of batches of its lengths, batch by batch."""
    split = [torch.split(values, each) for values, each in zip(parts, lengths, strict=True)]
    return torch.cat([piece for batch in zip(*split, strict=True) for piece in batch])
