"""Averages of weights over training: they are validated, evaluated and saved; training goes on with what it had.

Lightning's WeightAveraging copies the whole module, with what is frozen and what counts metrics, has to see each step,
and hears of no validation but the Trainer's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from copycat.models.classifier import Classifier
from copycat.training.checkpoints import between_steps

KEY = "averaging"
"""Of a checkpoint, under which the weights lie that training goes on with; its state_dict is the average."""
Fold = Callable[[Any, Any, Any], None]
"""Takes averages, tensors as they are, and how many the averages are of; changes the averages."""


class Averaging(pl.Callback):
    """Averages parameters that are trained, and in the same way the statistics that BatchNorm keeps."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._count = 0
        self._held: dict[str, Tensor] = {}
        """The average; where the network has that, what training goes on with."""
        self._epochs = 0

    def is_due(self, epoch: int, *, last: bool) -> bool:
        """Whether a step's weights go into the average.

        Args:
            last: of its epoch.
        """
        raise NotImplementedError

    def supports_multi_step(self) -> bool:
        """Return true: the loop calls `after_step`."""
        return True

    @torch.no_grad()
    def after_step(self, network: nn.Module, epoch: int, *, last: bool) -> None:
        if not self.is_due(epoch, last=last):
            return
        found = _changing(network)
        if known := [name for name in found if name in self._held]:
            self._fold([self._held[name] for name in known], [found[name] for name in known], self._count)
        self._held |= {name: tensor.detach().clone() for name, tensor in found.items() if name not in self._held}
        self._count += 1

    @contextmanager
    def shown(self, network: nn.Module) -> Iterator[None]:
        """The network with its average."""
        self._swap(network)
        try:
            yield
        finally:
            self._swap(network)

    def _swap(self, network: nn.Module) -> None:
        tensors = _tensors(network) if self._held else {}
        with torch.inference_mode(False):
            for name, held in self._held.items():
                self._held[name], tensors[name].data = tensors[name].data, held

    # ----- the Trainer's side

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._epochs = trainer.max_epochs or 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        tensors = _tensors(_network(pl_module))  # which has been moved since a checkpoint was read
        self._held = {name: held.to(tensors[name].device) for name, held in self._held.items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or between_steps(trainer, batch_idx + 1):
            self.after_step(_network(pl_module), trainer.current_epoch, last=trainer.is_last_batch)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swap(_network(pl_module))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swap(_network(pl_module))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # after the last checkpoint; and a run that was resumed when all was trained has no other hook
        self._swap(_network(pl_module))
        self._held = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        with self.shown(_network(pl_module)):
            checkpoint["state_dict"] = pl_module.state_dict()
            checkpoint[KEY] = {"count": self._count, "trained": dict(self._held)}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        network, ours = _network(pl_module), checkpoint[KEY]
        self._count = ours["count"]
        self._held = dict(ours["trained"])
        self._swap(network)


class EMA(Averaging):
    """An exponential moving average over steps.

    Args:
        decay: share of the average that stays at each step.
        start_epoch: before it there is no average.
    """

    def __init__(self, *, decay: float = 0.99, start_epoch: int = 0) -> None:
        super().__init__(get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.start_epoch = start_epoch

    def is_due(self, epoch: int, *, last: bool) -> bool:
        return epoch >= self.start_epoch


class SWA(Averaging):
    """The mean of the weights at the ends of the last epochs.

    Args:
        start: share of the epochs that come before those.

    Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization.
    """

    def __init__(self, *, start: float = 0.75) -> None:
        super().__init__(get_swa_multi_avg_fn())  # type: ignore[no-untyped-call]
        self.start = start

    def is_due(self, epoch: int, *, last: bool) -> bool:
        return last and epoch >= int(self.start * self._epochs)


def _network(module: pl.LightningModule) -> nn.Module:
    assert isinstance(module, Classifier)
    return module.network


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _changing(network: nn.Module) -> dict[str, Tensor]:
    """What training changes, and a checkpoint holds."""
    saved = network.state_dict(keep_vars=True).keys()
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {
        name: tensor
        for name, tensor in _tensors(network).items()
        if name in saved and name not in frozen and tensor.is_floating_point()
    }
