"""Seed every random draw inside a step by (seed, epoch, batch, rank).

Checkpoints therefore need no state of a generator.
"""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import modules as layers

from copycat.data.streams import derive_seed
from copycat.models import max_pooling, networks
from copycat.training.hook_compatibility import MultiStepCallback

EPOCH_START = -1  # batch number for draws at the start of an epoch

KNOWN_MODULES = tuple(
    module.__name__
    for module in (
        *(networks, max_pooling, layers.activation, layers.batchnorm, layers.container, layers.conv, layers.dropout),
        *(layers.flatten, layers.instancenorm, layers.linear, layers.normalization, layers.padding, layers.pooling),
        layers.sparse,
    )
)
"""Names of modules whose layers are known."""
RANDOM_LAYERS = (layers.dropout._DropoutNd, nn.RReLU, nn.MultiheadAttention, nn.FractionalMaxPool2d)
"""Known layers that draw random numbers."""


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch, including those of devices."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # torch.manual_seed takes a hundred times as long, to look for devices
        torch.default_generator.manual_seed(seed)
    _seed_others(seed)


class StepSeeds(MultiStepCallback):
    """Seed all generators at the start of each epoch and batch."""

    observes = ()

    def __init__(self, seed: int, network: nn.Module) -> None:
        """Find out whether the network may draw random numbers."""
        self._key, self.draws = seed, may_draw(network)
        self._place: tuple[int, bool] | None = None  # rank, and whether it computes on the processor

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed draws at the start of an epoch."""
        self.seed(trainer, trainer.current_epoch, EPOCH_START)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed draws of a batch."""
        self.seed(trainer, trainer.current_epoch, batch_idx)

    def seed(self, trainer: pl.Trainer, epoch: int, batch: int) -> None:
        """Seed all generators for one batch."""
        if self._place is None:  # the Trainer takes longer to tell it than torch to be seeded
            self._place = trainer.global_rank, trainer.strategy.root_device.type == "cpu"
        rank, is_on_cpu = self._place
        seed = derive_seed("step", self._key, epoch, batch, rank)
        if is_on_cpu:
            torch.default_generator.manual_seed(seed)
            _seed_others(seed)
        else:
            seed_everything(seed)


def may_draw(network: nn.Module) -> bool:
    """Return whether a step may draw random numbers: it has a random layer of torch, or an unknown layer."""
    return any(
        isinstance(m, RANDOM_LAYERS) or not type(m).__module__.startswith(KNOWN_MODULES) for m in network.modules()
    )


def _seed_others(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # NumPy accepts 32 bits
