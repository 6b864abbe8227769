"""Every draw inside a step is a function of (seed, epoch, batch, rank): no state of a generator need be saved."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import modules as layers

from copycat.data.streams import derive_seed
from copycat.models import networks

BEFORE_THE_FIRST = -1
"""Stands for a batch in what is drawn as an epoch starts."""

KNOWN = tuple(
    module.__name__
    for module in (
        *(networks, layers.activation, layers.batchnorm, layers.container, layers.conv, layers.dropout),
        *(layers.flatten, layers.instancenorm, layers.linear, layers.normalization, layers.padding, layers.pooling),
        layers.sparse,
    )
)
"""Modules whose layers are known."""
RANDOM = (layers.dropout._DropoutNd, nn.RReLU, nn.MultiheadAttention, nn.FractionalMaxPool2d)
"""Their layers that draw."""


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, those of devices too."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # it seeds devices too, and takes a hundred times as long where there are none
        torch.default_generator.manual_seed(seed)
    _seed_others(seed)


class StepSeeds(pl.Callback):
    """Seeds all generators as each epoch and each batch starts."""

    def __init__(self, seed: int, network: nn.Module) -> None:
        self._key, self.draws = seed, may_draw(network)

    def supports_multi_step(self) -> bool:
        """Return true: the loop seeds each step itself."""
        return True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seed(trainer, trainer.current_epoch, BEFORE_THE_FIRST)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.seed(trainer, trainer.current_epoch, batch_idx)

    def seed(self, trainer: pl.Trainer, epoch: int, batch: int) -> None:
        """Begin the streams of one batch."""
        seed = derive_seed("step", self._key, epoch, batch, trainer.global_rank)
        if trainer.strategy.root_device.type == "cpu":
            torch.default_generator.manual_seed(seed)
            _seed_others(seed)
        else:
            seed_everything(seed)


def may_draw(network: nn.Module) -> bool:
    """Whether a step may draw random numbers: a layer of torch that does, or one that nobody here knows."""
    return any(isinstance(m, RANDOM) or not type(m).__module__.startswith(KNOWN) for m in network.modules())


def _seed_others(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # it takes no more
