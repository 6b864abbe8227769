"""How the trials of a pack move, reckoned for all of them at once: what `Statistics` writes of a run alone."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.inspection.callbacks.inspector import tensorboard_loggers
from copycat.inspection.callbacks.layer_statistics import GRADIENT, RATE, UPDATE, WEIGHT, layers_with_curves
from copycat.sweeps.packed.optimizer import Optimizers
from copycat.sweeps.packed.stacked_network import Stack
from copycat.sweeps.packed.trial import Member


class PackStatistics:
    """Args:
    members: of one pack, whose callbacks are alike.
    """

    def __init__(self, members: Sequence[Member], *, first: int, epochs: int) -> None:
        self.one = members[0].statistics if tensorboard_loggers(members[0].recorder.loggers) else None
        if self.one is not None:
            self.one.start_clock(first, epochs=epochs)
        self.images = len(members[0].data.parts["train"])
        self._epochs: list[int] = []
        self._tables: list[NDArray[np.float32]] = []
        """[trials, tags] of each of them."""
        self._tags: list[str] = []

    def measures(self, epoch: int) -> bool:
        return self.one is not None and self.one.measures(epoch)

    def before(self, gradients: Sequence[Tensor], stack: Stack, optimizers: Optimizers) -> None:
        """Look at the gradients of an epoch's last step, [trials, …], before they are clipped."""
        self._rate = optimizers.learning_rates()
        self._gradient = _norms(gradients)
        self._before = [parameter.detach().clone() for parameter in stack.parameters.values()]

    def after(self, epoch: int, stack: Stack) -> None:
        """Look at the weights after that step."""
        assert self.one is not None
        trained = [parameter.detach() for parameter in stack.parameters.values()]
        whole = {**stack.rest, **stack.parameters}
        every = {name: whole[name].detach() for name, _ in stack.networks[0].named_parameters()}
        weight = _norms(list(every.values()))
        update = _norms([b - a for a, b in zip(self._before, trained, strict=True)])
        pace = self.one.epoch_time(epoch + 1, images=self.images)
        like = torch.ones_like(weight)
        columns = {
            RATE: torch.tensor(self._rate),
            GRADIENT: self._gradient,
            UPDATE: torch.where(weight > 0, update / weight, 0.0),
            WEIGHT: weight,
            **{name: like * value for name, value in pace.items()},
            **{f"weight_norm/{name}": _norms([every[name]]) for name in layers_with_curves(stack.networks[0])},
        }
        self._tags = list(columns)
        self._epochs.append(epoch)
        self._tables.append(torch.stack([column.float().cpu() for column in columns.values()], dim=1).numpy())

    def write(self, members: Sequence[Member], here: Sequence[int]) -> None:
        """Hand the trials that are still there what was measured since the last time."""
        epochs, tables = self._epochs, self._tables
        self._epochs, self._tables = [], []
        if not epochs:
            return
        whole = np.stack(tables)
        for place in here:
            for board in tensorboard_loggers(members[place].recorder.loggers):
                board.log_table(self._tags, whole[:, place], steps=epochs)


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """[trials], of all that a trial has together."""
    each = torch.stack([torch.linalg.vector_norm(tensor.flatten(1), dim=1) for tensor in tensors])
    found: Tensor = torch.linalg.vector_norm(each, dim=0)
    return found
