"""How training moves, as scalars: learning rate, norms, the size of an update, time."""

import time
from collections.abc import Iterable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from copycat.inspection.callbacks.inspector import Measurer, boards, network_of

MOST = 32
"""Layers whose weights have a curve of their own."""
RATE, GRADIENT = "optimizer/learning_rate", "optimizer/gradient_norm"
UPDATE, WEIGHT = "optimizer/update_to_weight", "optimizer/weight_norm"


class Statistics(Measurer):
    """Of the last step of some epochs: its learning rate, gradient and update; of the epochs since the last look: time.

    Args:
        points: epochs that it looks at, about.
    """

    def __init__(self, *, points: int = 100) -> None:
        super().__init__(points=points)
        self._gradient = self._rate = 0.0
        self._before: list[Tensor] = []
        self._since = 0.0, 0
        """When it last looked, and at how many epochs done."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = []
        self.begin(trainer.current_epoch, epochs=trainer.max_epochs or 1)

    def before_last_step(self, module: pl.LightningModule) -> None:
        parameters = list(network_of(module).parameters())
        self._rate = float(module.trainer.optimizers[0].param_groups[0]["lr"])
        self._gradient = _norm(p.grad for p in parameters if p.grad is not None)
        self._before = [p.detach().clone() for p in parameters]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        before, self._before = self._before, []
        if not before:
            return
        network = network_of(pl_module)
        after = [parameter.detach() for parameter in network.parameters()]
        weight = _norm(after)
        update = _norm(b - a for a, b in zip(before, after, strict=True))
        images = len(trainer.datamodule.parts["train"])  # type: ignore[attr-defined]
        found = {
            RATE: self._rate,
            GRADIENT: self._gradient,
            UPDATE: update / weight if weight else 0.0,
            WEIGHT: weight,
            **self.pace(trainer.current_epoch + 1, images=images),
            **_by_layer(network),
        }
        for board in boards(trainer.loggers):
            board.log_scalars(found, trainer.current_epoch)

    def begin(self, epoch: int, *, epochs: int) -> None:
        """Count from here.

        Args:
            epochs: of the whole run.
        """
        self.spread(epochs)
        self._since = time.perf_counter(), epoch

    def pace(self, done: int, *, images: int) -> dict[str, float]:
        """How long an epoch took since the last look."""
        now = time.perf_counter()
        (then, had), self._since = self._since, (now, done)
        seconds = (now - then) / max(1, done - had)
        return {"time/seconds_per_epoch": seconds, "time/images_per_second": images / seconds if seconds else 0.0}


def layers(network: nn.Module) -> list[str]:
    """Parameters whose norms have curves of their own; none where there is but one beside biases."""
    named = [name for name, p in network.named_parameters() if p.ndim > 1]
    return named[:MOST] if len(named) > 1 else []


def _norm(tensors: Iterable[Tensor]) -> float:
    """Of all of them together."""
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor for tensor in tensors]
    return float(nn.utils.get_total_norm(dense)) if dense else 0.0


def _by_layer(network: nn.Module) -> dict[str, float]:
    norm = torch.linalg.vector_norm
    return {f"weight_norm/{name}": float(norm(network.get_parameter(name).detach())) for name in layers(network)}
