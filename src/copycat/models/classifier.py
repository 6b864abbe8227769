"""The LightningModule around a plain network: steps, metrics, optimizer and scheduler."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from typing import Any, Literal, Protocol, cast, runtime_checkable

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from copycat.models.evaluator import Outputs, evaluate
from copycat.models.losses import Loss, hard
from copycat.models.metrics import Row, StageMetrics, Steps, joined, scalar
from copycat.models.parameter_groups import grouped, scale

Stage = Literal["train", "val", "test"]


class DivergedError(RuntimeError):
    """The loss, or a weight, is no longer a finite number."""


def diverged(epoch: int, batch: int, loss: Tensor) -> DivergedError:
    return DivergedError(f"the loss of epoch {epoch}, batch {batch} is {loss.item()}")


@runtime_checkable
class LogsEpochs(Protocol):
    """A logger that takes many epochs at once."""

    def log_epochs(self, first: int, rows: Sequence[Row]) -> None:
        """Take the rows of consecutive epochs, from the first on."""


def log_rows(loggers: Iterable[Any], first: int, rows: Sequence[Row]) -> None:
    """Write the rows of consecutive epochs to loggers.

    Args:
        first: epoch of the first row.
    """
    for logger in loggers:
        if isinstance(logger, LogsEpochs):
            logger.log_epochs(first, rows)
        else:
            for epoch, row in enumerate(rows, first):
                logger.log_metrics(row, step=epoch)


class Classifier(pl.LightningModule):
    """Args:
    network: [B, C, H, W] float -> [B, out_features] logits.
    optimizer: makes one from the parameters.
    scheduler: makes one from the optimizer.
    interval: the scheduler steps each `epoch` or each `step`.
    monitor: metric that a plateau scheduler watches.
    lr_multipliers: factors of the learning rate, by patterns of parameters.

    A batch is {"image": float32 [B, C, H, W], "label": int64 [B], …}; one of mixed images has labels as losses take
    them, and is counted by each image's largest share. At the end of an epoch its metrics go to
    `trainer.callback_metrics` and, in one row, to every logger. They do not pass through `self.log`, which costs more
    than an epoch of the lecture.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Loss,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        classes: int,
        interval: str = "epoch",
        monitor: str | None = None,
        lr_multipliers: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.interval, self.monitor, self.lr_multipliers = interval, monitor, lr_multipliers
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
        self._row: Row = {}
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
                raise diverged(self.current_epoch, batch_idx, loss)
            self.take(loss.detach(), self.loss.probability(logits.detach()), label)
        return loss

    def take(self, loss: Tensor, probability: Tensor, label: Tensor) -> None:
        """Count a training step among those of the epoch that is not closed yet."""
        self._last_loss = loss
        self._metrics("train").update(loss=loss, probability=probability, label=hard(label))

    @property
    def waits(self) -> bool:
        """Whether steps are counted of an epoch that is not closed yet."""
        return self._metrics("train").batches > 0

    def on_train_epoch_start(self) -> None:
        self._counted = -1

    def on_train_epoch_end(self) -> None:
        self.log_epochs(self.current_epoch, [self.close()])

    def close(self) -> Row:
        """The row of the epoch whose steps were taken. `train/loss` is the last step's, as the lecture prints it."""
        batches = self._metrics("train").batches
        (row,) = self._with_last([self._metrics("train").compute()], self._last_loss[None], batches=batches)
        return {**row, **self.validated()}

    def close_many(self, epochs: Sequence[Steps]) -> list[Row]:
        """Return the training rows of epochs that have as many steps and images, without validation metrics."""
        steps = len(epochs[0].losses)
        costs = torch.stack([loss for epoch in epochs for loss in epoch.losses]).view(-1, steps)
        probability = torch.stack([joined(epoch.probabilities) for epoch in epochs])
        label = torch.stack([hard(joined(epoch.labels)) for epoch in epochs])
        self._last_loss = epochs[-1].losses[-1]
        return self.count(costs, [len(part) for part in epochs[0].labels], probability, label)

    def count(self, costs: Tensor, sizes: Sequence[int], probability: Tensor, label: Tensor) -> list[Row]:
        """The training rows of epochs that have as many steps and images, without what they validated.

        Args:
            costs: [epochs, steps].
            sizes: images of each step.
            probability, label: [epochs, N, …] and [epochs, N].
        """
        rows = self._metrics("train").counted(costs, sizes, probability, label)
        return self._with_last(rows, costs[:, -1], batches=len(sizes))

    def remember(self, loss: Tensor) -> None:
        """The loss of the last step, of training that others count."""
        self._last_loss = loss

    def _with_last(self, rows: Sequence[Row], losses: Tensor, *, batches: int) -> list[Row]:
        if batches == 1:
            return list(rows)
        last = losses.tolist()
        return [
            {"train/loss": loss, "train/loss_mean": row.pop("train/loss"), **row}
            for loss, row in zip(last, rows, strict=True)
        ]

    def validated(self) -> Row:
        """What the last validation found, once."""
        row, self._row = self._row, {}
        return row

    def log_epochs(self, first: int, rows: Sequence[Row]) -> None:
        """Hand the rows of consecutive epochs to callbacks and loggers."""
        train = {name: value for name, value in rows[-1].items() if name.startswith("train/")}
        self.trainer.callback_metrics.update(_tensors(train))
        log_rows(self.trainer.loggers, first, rows)

    def validate(self, batches: Iterable[Any]) -> None:
        """What the Trainer's validation does, without its loop."""
        found, _ = self._measured(self.evaluates, batches)
        self._found(self.evaluates, found)

    def measure(self, stage: Stage, batches: Iterable[Any]) -> tuple[Row, Tensor]:
        """Metrics of the weights as they are, and probabilities [N] of class 1, or [N, classes]; without a Trainer.

        Raises:
            DivergedError: where the loss is not finite.
        """
        found, predicted = self._measured(stage, batches)
        if not isfinite(loss := found[f"{stage}/loss"]):
            raise DivergedError(f"{stage}/loss of the final weights is {loss}")
        return found, predicted

    def _measured(self, stage: Stage, batches: Iterable[Any]) -> tuple[Row, Tensor]:
        weight, metrics = next(self.network.parameters(), None), self._metrics(stage)
        forward = partial(self._outputs, device=None if weight is None else weight.device)
        (found,), predicted = evaluate(forward, batches, metrics, modules=[self.network, self.loss])
        return found, predicted[0]

    def _outputs(self, batch: Mapping[str, Tensor], *, device: torch.device | None) -> Outputs:
        image, label = batch["image"].to(device), batch["label"].to(device)
        logits = self.network(image)
        return self.loss(logits, label)[None], self.loss.probability(logits)[None], label[None]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate(self.evaluates, batch)

    def on_validation_epoch_end(self) -> None:
        self._close(self.evaluates)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    def on_test_epoch_end(self) -> None:
        self._close("test")

    def optimizer(self) -> Optimizer:
        """A new one."""
        if not self.lr_multipliers:
            return self.make_optimizer(self.network.parameters())
        groups = grouped(self.network, self.lr_multipliers)
        optimizer = self.make_optimizer(list(groups.values()))
        scale(optimizer, groups)
        return optimizer

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer()
        schedule: dict[str, Any] = {"scheduler": self.make_scheduler(optimizer), "interval": self.interval}
        if self.monitor:
            schedule["monitor"] = self.monitor
            with suppress(RuntimeError):  # there is no trainer yet
                if self.monitor.startswith("val/"):  # other epochs have no such metric
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

    def _evaluate(self, stage: Stage, batch: dict[str, Tensor]) -> None:
        logits, label = self.network(batch["image"]), batch["label"]
        loss = self.loss(logits, label)
        self._metrics(stage).update(loss=loss, probability=self.loss.probability(logits), label=label)

    def _close(self, stage: Stage) -> None:
        if self.trainer.state.fn != "fit":
            self.predicted = self._metrics(stage).seen.compute()[2]
        self._found(stage, self._metrics(stage).compute())

    def _found(self, stage: Stage, found: Row) -> None:
        if not isfinite(loss := found[f"{stage}/loss"]):
            weights = f"epoch {self.current_epoch}" if self.trainer.state.fn == "fit" else "the final weights"
            raise DivergedError(f"{stage}/loss of {weights} is {loss}")
        self.trainer.callback_metrics.update(_tensors(found))
        self.evaluated = self._row = found


def _tensors(row: Row) -> dict[str, Tensor]:
    return {name: scalar(value) for name, value in row.items()}
