"""Every draw inside a step is a function of (seed, epoch, batch, rank): no state of a generator need be saved."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from copycat.data.streams import key

BEFORE_THE_FIRST = -1
"""Stands for a batch in what is drawn as an epoch starts."""


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, those of devices too."""
    torch.manual_seed(seed)
    _seed_others(seed)


class StepSeeds(pl.Callback):
    """Seeds all generators as each epoch and each batch starts."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, BEFORE_THE_FIRST)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._seed(trainer, batch_idx)

    def _seed(self, trainer: pl.Trainer, batch: int) -> None:
        seed = key("step", self.seed, trainer.current_epoch, batch, trainer.global_rank)
        if trainer.strategy.root_device.type != "cpu":
            seed_everything(seed)
            return
        # torch.manual_seed seeds devices too, and takes a hundred times as long where there are none
        torch.default_generator.manual_seed(seed)
        _seed_others(seed)


def _seed_others(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # it takes no more
