"""Communicate between the ranks of a run, between steps: all ranks must call each collective within the time limit."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from copycat.config.worlds import Place
from copycat.models.prediction_buffer import as_bytes
from copycat.training.decisions import RankDecisions

T = TypeVar("T")


class Collectives:
    """Sum, gather and broadcast over the ranks of a run, and let them decide together."""

    def __init__(self, place: Place) -> None:
        """Know this process's place among the ranks; the process group need not exist yet."""
        self.rank, self.size, self.local_size = place.rank, place.size, place.local_size
        self.decisions = RankDecisions(self)

    @property
    def is_first(self) -> bool:
        """Return whether this is the rank that writes and prints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums over the ranks of values on the CPU."""
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    def start_sum_step(self, values: Tensor) -> Callable[[], Tensor]:
        """Start to sum values over the ranks, float64 [n] on the CPU, and to agree on the decisions of the step.

        What it returns waits for the sums; it may be called once.
        """
        summed = torch.cat([values, torch.tensor(self.decisions.pending(), dtype=torch.float64)])
        work: Any = dist.all_reduce(summed, async_op=True)

        def wait() -> Tensor:
            work.wait()
            self.decisions.settle(summed[len(values) :].tolist())
            return summed[: len(values)]

        return wait

    def agree(self) -> None:
        """Agree on all decisions now."""
        if self.size > 1:
            self.start_sum_step(torch.empty(0, dtype=torch.float64))()

    def gather(self, values: Sequence[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
        """Return the tensors of each rank on the first one; an empty list on the others.

        Args:
            values: on the CPU, each [n, …] of the same n.
            lengths: n of each rank.
        """
        content = torch.cat([as_bytes(each) for each in values])
        row_bytes = sum(each.itemsize * prod(each.shape[1:]) for each in values)
        padded = torch.zeros(max(lengths) * row_bytes, dtype=torch.uint8)
        padded[: len(content)] = content
        contents = [torch.empty_like(padded) for _ in range(self.size)] if self.is_first else None
        dist.gather(padded, contents)
        return [_read_rows(content, length, values) for content, length in zip(contents or [], lengths, strict=False)]

    def make_on_first(self, make: Callable[[], T]) -> T:
        """Return the first rank's object, within the time limit."""
        return make() if self.size == 1 else self.broadcast(make() if self.is_first else None)  # type: ignore[return-value]

    def broadcast(self, value: T) -> T:
        """Return the first rank's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


def _read_rows(content: Tensor, length: int, like: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors [length, …] from their bytes, one after another; `like` has their dtypes and shapes."""
    found, start = [], 0
    for each in like:
        stop = start + length * each.itemsize * prod(each.shape[1:])
        aligned = content[start:stop].clone()  # a view starts where the dtype's values may not
        found.append(aligned.view(each.dtype).reshape(length, *each.shape[1:]))
        start = stop
    return found
