"""A difference between two runs, and the differences between two trees of tensors and numbers."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from copycat.records.epoch_size import count_epoch_batches
from copycat.records.run_loader import Opened
from copycat.reruns.ulp import NumberPair

IGNORED_KEYS = re.compile(r"finished|pack_span|pack_stack|seconds|time|version|time_elapsed|current_score|.*_version")
"""Keys of a checkpoint that are not compared: times, versions, packs, whether training ended there, and what
Lightning's ModelCheckpoint saves and does not restore."""
ABSENT = "–"
"""Stands for a value that only the other run has."""
_WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PATH = re.compile(r".*[/\\](?=[^/\\]+\.ckpt$)")
"""The folder in front of a checkpoint's name where its path is a key."""


@dataclass(frozen=True)
class Moment:
    """Locate a difference in training."""

    epoch: int | None = None
    steps_per_epoch: int | None = None

    @property
    def step(self) -> int | None:
        """Return the number of optimizer steps completed by the epoch's end."""
        if self.epoch is None or self.steps_per_epoch is None:
            return None
        return self.steps_per_epoch * (self.epoch + 1)


@dataclass(frozen=True)
class Difference:
    """Describe one difference between two runs."""

    place: str
    """A metric, or a file and a key in it."""
    moment: Moment
    pair: NumberPair | None = None
    """The two numbers; None where one of them is none."""
    words: tuple[str, str] = ("", "")
    """The values before and after, where they are not two numbers."""
    scaled: float | None = math.inf
    """The largest distance, relative where values are above 1; None where other differences determine it."""
    is_metric: bool = False
    """Whether it is a cell of metrics.csv."""

    @property
    def is_added(self) -> bool:
        """Return whether the original had no value."""
        return self.words[0] == ABSENT

    @classmethod
    def of_words(cls, place: str, moment: Moment, words: Iterable[str]) -> "Difference":
        """Make a difference between two values that are not both numbers."""
        before, after = words
        return cls(place, moment, words=(before, after))


def steps_per_epoch(run: Opened) -> int | None:
    """Derive the optimizer steps per epoch from configuration and images; None where they do not determine them."""
    images = run.manifest["data"]["images"].get("train")
    if not images:
        return None
    batches = count_epoch_batches(run.config, images, part="train")
    return math.ceil(batches / (run.config["trainer"].get("accumulate_grad_batches") or 1)) or None


def compare_trees(place: str, before: Any, after: Any, moment: Moment) -> Iterator[Difference]:
    """Yield the differences in tensors and numbers of nested containers, by key; ignore text, times and versions."""
    a, b = dict(_leaves(before)), dict(_leaves(after))
    for name in dict.fromkeys([*a, *b]):
        where = f"{place}: {name}"
        if name not in a or name not in b:
            yield Difference.of_words(where, moment, (ABSENT if name not in tree else "there" for tree in (a, b)))
        elif difference := _compare(where, a[name], b[name], moment):
            yield difference


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Mapping):
        inside = [(_PATH.sub("", str(key)), value) for key, value in node.items()]
    elif isinstance(node, list | tuple):
        inside = [(str(place), value) for place, value in enumerate(node)]
    else:
        if isinstance(node, Tensor):
            yield name, node.detach()
        elif isinstance(node, bool | int | float):
            yield name, torch.tensor(node, dtype=torch.float64 if isinstance(node, float) else None)
        return
    for key, value in inside:
        if not IGNORED_KEYS.fullmatch(key):
            yield from _leaves(value, f"{name}.{key}" if name else key)


def _compare(place: str, before: Tensor, after: Tensor, moment: Moment) -> Difference | None:
    forms = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in (before, after)]
    if forms[0] != forms[1]:
        return Difference.of_words(place, moment, forms)
    if before.is_complex():
        before, after = torch.view_as_real(before), torch.view_as_real(after)
    width = before.element_size()
    a, b = (t.contiguous().reshape(-1).view(_WHOLE[width]) for t in (before, after))
    differs = a != b
    if not differs.any():
        return None
    first = int(differs.nonzero()[0])
    index = [int(i) for i in torch.unravel_index(torch.tensor(first), before.shape)] if before.ndim else []
    place += str(index) if index else ""
    numbers = before.reshape(-1)[first].item(), after.reshape(-1)[first].item()
    scaled = float(_scaled(before.reshape(-1)[differs], after.reshape(-1)[differs]).max())
    if not before.is_floating_point():
        return Difference(place, moment, words=(str(numbers[0]), str(numbers[1])), scaled=scaled)
    mask = (1 << 8 * width) - 1
    pair = NumberPair(*numbers, int(a[first]) & mask, int(b[first]) & mask, 8 * width)
    return Difference(place, moment, pair, scaled=scaled)


def _scaled(before: Tensor, after: Tensor) -> Tensor:
    """Return distances, relative where the original is above 1; infinite where a number is not finite."""
    a, b = before.double(), after.double()
    return ((b - a).abs() / a.abs().clamp(min=1)).where(a.isfinite() & b.isfinite(), torch.inf)
