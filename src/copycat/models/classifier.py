"""The LightningModule around a plain network: steps, metrics, optimizer and scheduler."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from copycat.models.losses import Loss
from copycat.models.metrics import StageMetrics

Stage = Literal["train", "val", "test"]


class DivergedError(RuntimeError):
    """The loss, or a weight, is no longer a finite number."""


class Classifier(pl.LightningModule):
    """Args:
    network: [B, C, H, W] float -> [B, out_features] logits.
    optimizer: makes one from the parameters.
    scheduler: makes one from the optimizer.
    interval: the scheduler steps each `epoch` or each `step`.
    monitor: metric that a plateau scheduler watches.

    A batch is {"image": float32 [B, C, H, W], "label": int64 [B], …}. At the end of an epoch its metrics go to
    `trainer.callback_metrics` and, in one row, to every logger. They do not pass through `self.log`, which costs more
    than an epoch of the lecture.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Loss,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        classes: int,
        interval: str = "epoch",
        monitor: str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.interval, self.monitor = interval, monitor
        stages: tuple[Stage, ...] = ("train", "val", "test")
        self.metrics = nn.ModuleDict(
            {f"{s}_": StageMetrics(s, classes=classes, reduction=loss.reduction) for s in stages}
        )
        self.evaluates: Stage = "val"
        """The stage whose name the metrics of a validation loop get."""
        self.evaluated: dict[str, float] = {}
        """Metrics of the last evaluation, by name."""
        self.predicted = torch.empty(0)
        """Probabilities of the last evaluation outside training, [N] of class 1, or [N, classes]."""
        self._row: dict[str, float] = {}
        self._last_loss = torch.tensor(torch.nan)
        self._counted = -1

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)
        return logits

    def setup(self, stage: str) -> None:
        if self.trainer.strategy.root_device.type == "mps":  # it has no float64
            for metrics in self.metrics.values():
                cast(StageMetrics, metrics).seen.set_dtype(torch.float32)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        label = batch["label"]
        logits = self.network(batch["image"])
        loss: Tensor = self.loss(logits, label)
        if batch_idx != self._counted:  # LBFGS evaluates a batch again and again: the first time counts
            self._counted = batch_idx
            if not loss.isfinite():
                raise DivergedError(f"the loss of epoch {self.current_epoch}, batch {batch_idx} is {loss.item()}")
            self._last_loss = loss.detach()
            self._update("train", loss, logits, label)
        return loss

    def on_train_epoch_start(self) -> None:
        self._counted = -1

    def on_train_epoch_end(self) -> None:
        """Close the epoch's row. `train/loss` is the last step's, as the lecture prints it."""
        batches = self._metrics("train").batches
        found = self._metrics("train").compute()
        if batches > 1:
            found = {"train/loss": self._last_loss, "train/loss_mean": found.pop("train/loss"), **found}
        self.trainer.callback_metrics.update(found)
        row = {**_plain(found), **self._row}
        self._row = {}
        for logger in self.trainer.loggers:
            logger.log_metrics(row, step=self.current_epoch)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate(self.evaluates, batch)

    def on_validation_epoch_end(self) -> None:
        self._close(self.evaluates)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    def on_test_epoch_end(self) -> None:
        self._close("test")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimizer(self.network.parameters())
        schedule: dict[str, Any] = {"scheduler": self.make_scheduler(optimizer), "interval": self.interval}
        if self.monitor:
            schedule["monitor"] = self.monitor
            if self.monitor.startswith("val/") and self._trainer:  # other epochs have no such metric
                schedule["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": schedule})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an epoch has gathered so far."""
        checkpoint["classifier"] = {
            "train": self._metrics("train").state(),
            "last_loss": self._last_loss.cpu(),
            "row": dict(self._row),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        gathered = checkpoint["classifier"]
        self._metrics("train").restore(gathered["train"])
        self._last_loss, self._row = gathered["last_loss"], gathered["row"]

    def _metrics(self, stage: Stage) -> StageMetrics:
        metrics = self.metrics[f"{stage}_"]  # nn.Module has a `train` of its own
        assert isinstance(metrics, StageMetrics)
        return metrics

    def _update(self, stage: Stage, loss: Tensor, logits: Tensor, label: Tensor) -> None:
        self._metrics(stage).update(loss=loss, probability=self.loss.probability(logits.detach()), label=label)

    def _evaluate(self, stage: Stage, batch: dict[str, Tensor]) -> None:
        logits = self.network(batch["image"])
        self._update(stage, self.loss(logits, batch["label"]), logits, batch["label"])

    def _close(self, stage: Stage) -> None:
        if self.trainer.state.fn != "fit":
            self.predicted = self._metrics(stage).seen.compute()[2]
        found = self._metrics(stage).compute()
        if not found[f"{stage}/loss"].isfinite():
            weights = f"epoch {self.current_epoch}" if self.trainer.state.fn == "fit" else "the final weights"
            raise DivergedError(f"{stage}/loss of {weights} is {found[f'{stage}/loss'].item()}")
        self.trainer.callback_metrics.update(found)
        self.evaluated = self._row = _plain(found)


def _plain(found: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in found.items()}
