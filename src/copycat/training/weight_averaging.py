"""Average weights over training, for validation, evaluation and checkpoints; training continues with its own.

Lightning's WeightAveraging copies the whole module with frozen parameters and metric states, must see each step, and
is not notified of validations outside the Trainer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from copycat.config.printable import print_line
from copycat.training.checkpoints import between_steps
from copycat.training.hook_compatibility import MultiStepCallback
from copycat.training.run_context import network_of
from copycat.training.spread_tensors import gather, is_spread

KEY = "averaging"  # key of the trained weights in a checkpoint, whose state_dict is the average
UpdateAverage = Callable[[Any, Any, Any], None]
"""Takes averages, current tensors, and the number of averaged values; updates the averages in place."""


class Averaging(MultiStepCallback):
    """Average trained parameters, and likewise the statistics of BatchNorm."""

    def __init__(self, update: UpdateAverage) -> None:
        """Start without an average."""
        self._update = update
        self._count = 0
        self._held: dict[str, Tensor] = {}
        """The average, or the trained weights while the network holds the average."""
        self._epochs = 0

    def is_due(self, epoch: int, *, last: bool) -> bool:
        """Return whether the weights of a step, the last of its epoch or not, enter the average."""
        raise NotImplementedError

    @torch.no_grad()
    def after_step(self, network: nn.Module, epoch: int, *, last: bool) -> None:
        """Update the average after an optimizer step, where due."""
        if not self.is_due(epoch, last=last):
            return
        current = _averaged_tensors(network)
        if known := [name for name in current if name in self._held]:
            self._update([self._held[name] for name in known], [current[name] for name in known], self._count)
        self._held |= {name: tensor.detach().clone() for name, tensor in current.items() if name not in self._held}
        self._count += 1

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Swap the average into the network inside."""
        self._swap(network)
        try:
            yield
        finally:
            self._swap(network)

    def _swap(self, network: nn.Module) -> None:
        tensors = _tensors(network) if self._held else {}
        with torch.inference_mode(False):
            for name, held in self._held.items():
                if is_spread(tensors[name]):  # ranks gather a weight from the memory of its parts, whatever its data
                    part = tensors[name].detach()
                    self._held[name] = part.clone()
                    part.copy_(held)
                else:
                    self._held[name], tensors[name].data = tensors[name].data, held

    # ----- the Trainer's side

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note the number of epochs."""
        self._epochs = trainer.max_epochs or 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move a restored average to the device of the network, and spread it likewise over the ranks."""
        tensors = _tensors(network_of(pl_module))  # moved and spread after the checkpoint was loaded
        self._held = {name: _place_like(tensors[name], held) for name, held in self._held.items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after an optimizer step of Lightning's own loop."""
        if trainer.is_last_batch or between_steps(trainer, batch_idx + 1):
            self.after_step(network_of(pl_module), trainer.current_epoch, last=trainer.is_last_batch)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Swap the average into the network, and at the end the trained weights back."""
        self._swap(network_of(pl_module))

    on_validation_epoch_end = on_validation_epoch_start

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the network, after the last checkpoint; runs on resume of a finished run too."""
        if not self._count:
            name = type(self).__name__
            print_line(f"copycat: {name}: no weights were averaged: training ended before averaging began", error=True)
        self._swap(network_of(pl_module))
        self._held = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the state_dict, with the trained weights in an entry of their own."""
        with self.applied(network_of(pl_module)):
            checkpoint["state_dict"] = {name: gather(value) for name, value in pl_module.state_dict().items()}
            trained = {name: gather(value) for name, value in self._held.items()}
            checkpoint[KEY] = {"count": self._count, "trained": trained}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the average and the trained weights."""
        network, state = network_of(pl_module), checkpoint[KEY]
        self._count = state["count"]
        self._held = dict(state["trained"])
        self._swap(network)


class EMA(Averaging):
    """Average weights exponentially over steps.

    Args:
        decay: share of the average that remains at each step.
        start_epoch: first epoch whose steps are averaged.
    """

    def __init__(self, *, decay: float = 0.99, start_epoch: int = 0) -> None:
        """Update by torch's exponential average."""
        super().__init__(get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.start_epoch = start_epoch

    def is_due(self, epoch: int, *, last: bool) -> bool:
        """Return whether the epoch is at or after the first."""
        return epoch >= self.start_epoch


class SWA(Averaging):
    """Average the weights at the ends of the last epochs.

    Args:
        start: share of the epochs before the first averaged one.

    Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization.
    """

    def __init__(self, *, start: float = 0.75) -> None:
        """Update by torch's mean."""
        super().__init__(get_swa_multi_avg_fn())  # type: ignore[no-untyped-call]
        self.start = start

    def is_due(self, epoch: int, *, last: bool) -> bool:
        """Return whether the step ends an epoch after the start."""
        return last and epoch >= int(self.start * self._epochs)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _averaged_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that training changes and checkpoints hold."""
    saved = network.state_dict(keep_vars=True).keys()
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {
        name: tensor
        for name, tensor in _tensors(network).items()
        if name in saved and name not in frozen and (tensor.is_floating_point() or tensor.is_complex())
    }


def _place_like(tensor: Any, whole: Tensor) -> Tensor:
    """Return a whole tensor on the device of another, spread as that one is."""
    if not is_spread(tensor):
        return whole.to(tensor.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole.to(tensor.device), tensor.device_mesh, tensor.placements)
