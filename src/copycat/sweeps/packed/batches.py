"""Load the batches of the trials of a pack."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from copycat.data.datamodule import DataModule
from copycat.data.loaders import Batch

MAX_CACHED_BYTES = 2**30
"""Maximum bytes of stacked batches that are cached between epochs."""


class PackBatches:
    """Load one batch for all trials where they share a loader, else a batch of each, stacked."""

    def __init__(self, modules: Sequence[DataModule]) -> None:
        """Load from the data module of each trial."""
        self.modules = modules
        self._cached: dict[str, list[Batch]] = {}

    def load(self, part: str, epoch: int) -> Iterator[tuple[Batch, bool]]:
        """Yield batches, and whether a batch is shared by all trials; otherwise it is stacked, [trials, B, …]."""
        train = part == "train"
        loaders: list[Any] = [data.loader(part, shuffle=data.shuffle and train) for data in self.modules]
        for loader in loaders:
            loader.batch_sampler.set_epoch(epoch)
        augments = train and self.modules[0].augmentation is not None
        if all(loader is loaders[0] for loader in loaders) and not augments:
            yield from ((batch, True) for batch in loaders[0].batches(0, len(loaders[0])))
            return
        varies = augments or loaders[0].batch_sampler.shuffle
        if not varies and part in self._cached:
            yield from ((batch, False) for batch in self._cached[part])
            return
        stacked: list[Batch] = []
        for loaded in zip(*(loader.batches(0, len(loader)) for loader in loaders), strict=True):
            each = [
                data.augment(batch, epoch) if augments else batch
                for data, batch in zip(self.modules, loaded, strict=True)
            ]
            own: Any = {name: torch.stack([batch[name] for batch in each]) for name in ("image", "label")}
            yield own, False
            if not varies:
                stacked.append(own)
        if stacked and sum(batch["image"].nbytes for batch in stacked) <= MAX_CACHED_BYTES:
            self._cached[part] = stacked
