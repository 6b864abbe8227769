"""Scalars that describe training: learning rate, gradient, weight and update norms, time."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from copycat.data.datamodule import DataModule
from copycat.inspection.callbacks.inspector import Measurer, SummaryLogger, summary_loggers
from copycat.training.run_context import network_of
from copycat.training.spread_tensors import gather

MAX_LAYERS = 32
"""Layers whose weights have a curve of their own, at most."""
RATE, GRADIENT = "optimizer/learning_rate", "optimizer/gradient_norm"
UPDATE, WEIGHT = "optimizer/update_to_weight", "optimizer/weight_norm"


@dataclass(kw_only=True, eq=False)
class Statistics(Measurer):
    """Write the learning rate, gradient and update norm of the last step of some epochs, and the time per epoch."""

    points: int = 100
    _gradient: float = field(default=0.0, init=False)
    _rate: float = field(default=0.0, init=False)
    _before: list[Tensor] = field(default_factory=list, init=False)
    _loggers: list[SummaryLogger] = field(default_factory=list, init=False)
    _last_measured: tuple[float, int] = field(default=(0.0, 0), init=False)
    """Time of the last measurement in seconds, and the number of epochs completed by then."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Spread the measured epochs and start the clock."""
        self._before, self._loggers = [], summary_loggers(trainer.loggers)
        self.start_clock(trainer.current_epoch, epochs=trainer.max_epochs or 1)

    def before_last_step(self, module: pl.LightningModule) -> None:
        """Keep the learning rate, the gradient norm and the weights before an epoch's last step."""
        parameters = list(network_of(module).parameters())
        self._rate = float(module.trainer.optimizers[0].param_groups[0]["lr"])
        self._gradient = _norm(p.grad for p in parameters if p.grad is not None)
        self._before = [p.detach().clone() for p in parameters]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the scalars of a measured epoch."""
        before, self._before = self._before, []
        if not before:
            return
        network = network_of(pl_module)
        after = [parameter.detach() for parameter in network.parameters()]
        weights = {name: network.get_parameter(name).detach() for name in layers_with_curves(network)}
        layers = {name: gather(torch.linalg.vector_norm(value)) for name, value in weights.items()}
        weight = _norm(after)
        update = _norm(b - a for a, b in zip(before, after, strict=True))
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]
        images = len(data.parts["train"])
        if data.batch_size is not None:  # the trainer may limit the batches of an epoch
            images = min(images, int(trainer.num_training_batches) * data.batch_size)
        scalars = {
            RATE: self._rate,
            GRADIENT: self._gradient,
            UPDATE: update / weight if weight else 0.0,
            WEIGHT: weight,
            **self.epoch_time(trainer.current_epoch + 1, images=images),
            **{f"weight_norm/{name}": float(norm) for name, norm in layers.items()},
        }
        for logger in self._loggers:
            logger.log_scalars(scalars, trainer.current_epoch)

    def start_clock(self, epoch: int, *, epochs: int) -> None:
        """Spread the measured epochs over the run, and start the clock after `epoch` completed ones."""
        self.spread(epochs)
        self._last_measured = time.perf_counter(), epoch

    def epoch_time(self, epochs: int, *, images: int) -> dict[str, float]:
        """Return the mean time of an epoch since the last measured one, after `epochs` completed ones."""
        now = time.perf_counter()
        (last_time, last_epochs), self._last_measured = self._last_measured, (now, epochs)
        seconds = (now - last_time) / max(1, epochs - last_epochs)
        return {"time/seconds_per_epoch": seconds, "time/images_per_second": images / seconds if seconds else 0.0}


def layers_with_curves(network: nn.Module) -> list[str]:
    """Return the parameters whose norms have their own curves; none where the network has only one besides biases."""
    named = [name for name, p in network.named_parameters() if p.ndim > 1]
    return named[:MAX_LAYERS] if len(named) > 1 else []


def _norm(tensors: Iterable[Tensor]) -> float:
    """Return the norm of all tensors together."""
    norms = [torch.linalg.vector_norm(to_dense(tensor)) for tensor in tensors]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def to_dense(gradient: Tensor) -> Tensor:
    """Return the values of a gradient, which is sparse behind an embedding."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient
