"""Train a plain network as a LightningModule: steps, metrics, optimizer. Long, as Lightning calls one class for all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from math import isfinite
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from copycat.models.added_metrics import AddedMetric
from copycat.models.compiled_network import compile_network
from copycat.models.divergence import DivergedError, divergence_error
from copycat.models.evaluator import Evaluated, Outputs, evaluate
from copycat.models.full_precision import widen, without_autocast
from copycat.models.loss_base import Loss
from copycat.models.metrics import Row, recorded_dtype, to_scalar_tensor
from copycat.models.optimizer_state import keep_state_precision
from copycat.models.parameter_groups import group_parameters, scale_learning_rates
from copycat.models.shared_batches import SharedBatches
from copycat.models.stage_metrics import StageMetrics
from copycat.models.train_metrics import TrainMetrics

Stage = Literal["train", "val", "test"]


def log_rows(loggers: Iterable[Any], first: int, rows: Sequence[Row]) -> None:
    """Write the rows of consecutive epochs, from `first` on, to loggers: to those that can, in one call."""
    for logger in loggers:
        if hasattr(logger, "log_epochs"):
            logger.log_epochs(first, rows)
        else:
            for epoch, row in enumerate(rows, first):
                logger.log_metrics(row, step=epoch)


class Classifier(pl.LightningModule):
    """Train and evaluate a network.

    A batch is {"image": float32 [B, C, H, W], "label": int64 [B], …}; labels of images that may have several classes
    are int64 [B, classes], of 0 and 1. A batch of mixed images has soft labels, float [B, classes]; its metrics are
    computed with `Loss.hard_labels`. At the end of an epoch its metrics are written to `trainer.callback_metrics` and,
    in one row, to every logger. They bypass `self.log`, which takes longer than an epoch of the lecture.

    Mixed precision and compilation concern the network in training steps alone: losses, probabilities and evaluations
    are those of the plain network in full precision.

    Args:
        network: [B, C, H, W] float -> [B, out_features] logits.
        loss: of logits and labels; converts logits to probabilities.
        optimizer: creates one from the parameters.
        scheduler: creates one from the optimizer.
        classes: number of classes.
        interval: the scheduler steps each `epoch` or each `step`.
        monitor: metric that a plateau scheduler watches.
        lr_multipliers: factors of the learning rate, by patterns of parameter names.
        decays_bias_and_norm: apply weight decay to parameters of one dimension too.
        added_metrics: metrics beside loss and scores.
        compiles: compile the network of the training steps.
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
        decays_bias_and_norm: bool = True,
        added_metrics: Sequence[AddedMetric] = (),
        compiles: bool = False,
    ) -> None:
        """Create the module, with empty metrics for each stage."""
        super().__init__()
        self.network, self.loss, self.compiles = network, loss, compiles
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.interval, self.monitor = interval, monitor
        self.lr_multipliers, self.decays_bias_and_norm = lr_multipliers or {}, decays_bias_and_norm
        stages: tuple[Stage, ...] = ("train", "val", "test")
        settings: dict[str, Any] = {"classes": classes, "reduction": loss.reduction, "added": added_metrics}
        self.metrics = {stage: StageMetrics(stage, **settings) for stage in stages}
        self.train_metrics = TrainMetrics(self.metrics["train"], loss)
        self.evaluated_stage: Stage = "val"
        """The stage that a validation loop evaluates, which prefixes its metrics."""
        self.evaluation: dict[str, float] = {}  # metrics of the last evaluation, by name
        self.probabilities = torch.empty(0)
        """Class probabilities of the last evaluation outside training, [N] of class 1, or [N, classes]."""
        self._shared: SharedBatches | None = None
        self._row: Row = {}
        self._last_recorded = -1

    def share_batches(self, shared: SharedBatches) -> None:
        """Compute losses and metrics of batches of which this process has a part."""
        self._shared = shared
        for metrics in self.metrics.values():
            metrics.shared = shared

    @cached_property
    def trained_network(self) -> Callable[[Tensor], Tensor]:
        """Return the network as training steps call it; compiled at the first step, where asked for."""
        return compile_network(self.network) if self.compiles else self.network

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits [B, out_features] of images [B, C, H, W]."""
        logits: Tensor = self.network(image)
        return logits

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch, and record its metrics.

        Raises:
            DivergedError: where the loss is not finite.
        """
        label = batch["label"]
        logits = widen(self.trained_network(batch["image"]))
        with without_autocast(logits):
            loss: Tensor = self.loss(logits, label)
        if self._shared is None:
            self._record_batch(loss.detach(), batch_idx, logits.detach(), label)
            return loss
        images = cast(int, batch["images"])
        kept = slice(0 if self._shared.is_empty(images) else None)
        record = partial(
            self._record_batch, batch_idx=batch_idx, logits=logits.detach()[kept], label=label[kept], images=images
        )
        return self._shared.start_step(self.loss, loss, label, images=images, then=record)

    def on_after_backward(self) -> None:
        """Record a batch that ranks share, whose loss they have summed meanwhile."""
        if self._shared is not None:
            self._shared.finish_step()

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step the optimizer; where ranks share a batch, with the whole one's loss, as a line search must see one."""
        if self._shared is not None and optimizer_closure is not None:
            optimizer_closure = self._shared.with_whole_loss(optimizer_closure)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def _record_batch(
        self, loss: Tensor, batch_idx: int, logits: Tensor, label: Tensor, *, images: int | None = None
    ) -> None:
        if batch_idx == self._last_recorded:  # LBFGS evaluates a batch several times: record the first
            return
        self._last_recorded = batch_idx
        if not loss.isfinite():
            raise divergence_error(self.current_epoch, batch_idx, loss)
        self.train_metrics.record(loss, self.loss.probability(logits), label, images=images)

    def on_train_epoch_start(self) -> None:
        """Start to record the steps of an epoch."""
        self._last_recorded = -1

    def on_train_epoch_end(self) -> None:
        """Log the metrics of the epoch."""
        self.log_epochs(self.current_epoch, [self.finish_epoch()])

    def finish_epoch(self) -> Row:
        """Compute and reset the metrics of the current epoch, and of its validation."""
        validation, self._row = self._row, {}
        return {**self.train_metrics.finish_epoch(), **validation}

    def log_epochs(self, first: int, rows: Sequence[Row]) -> None:
        """Write the rows of consecutive epochs to loggers, and the last one's training metrics to callbacks."""
        self._update_callback_metrics({name: v for name, v in rows[-1].items() if name.startswith("train/")})
        log_rows(self.trainer.loggers, first, rows)

    def validate(self, batches: Iterable[Any]) -> None:
        """Evaluate batches as the Trainer's validation loop does, without that loop."""
        row, _ = self._evaluate_batches(self.evaluated_stage, batches)
        self._store_evaluation(row)

    def validation_loss(self, found: Evaluated) -> Tensor:
        """Return the loss of a validation, whose scores `finish_validations` computes with those of other epochs.

        Raises:
            DivergedError: where it is not finite.
        """
        losses = self.metrics["val"].join_losses(found.losses, found.sizes)
        loss = losses.to(recorded_dtype(found.probability))[0]
        self._check_loss(loss.item())
        return loss

    def finish_validations(self, found: Sequence[Evaluated]) -> list[Row]:
        """Return the rows of validations of the same images, and store the last one."""
        losses, probabilities, labels = (
            torch.cat([getattr(one, name) for one in found]) for name in ("losses", "probability", "label")
        )
        rows = self.metrics["val"].compute_epochs(losses, found[0].sizes, probabilities, labels)
        self._update_callback_metrics(rows[-1])
        self.evaluation = rows[-1]
        return rows

    def measure(self, stage: Stage, batches: Iterable[Any]) -> tuple[Row, Tensor]:
        """Evaluate the current weights without a Trainer.

        Args:
            stage: prefixes the metrics.
            batches: on any device.

        Returns:
            The metrics, and the probabilities [N] of class 1, or [N, classes].

        Raises:
            DivergedError: where the loss is not finite.
        """
        row, probabilities = self._evaluate_batches(stage, batches)
        if not isfinite(loss := row[f"{stage}/loss"]):
            raise DivergedError(f"{stage}/loss of the final weights is {loss}")
        return row, probabilities

    def _evaluate_batches(self, stage: Stage, batches: Iterable[Any]) -> tuple[Row, Tensor]:
        weight, metrics = next(self.network.parameters(), None), self.metrics[stage]
        forward = partial(self.compute_outputs, device=None if weight is None else weight.device)
        (row,), probabilities = evaluate(forward, batches, metrics, modules=[self.network, self.loss])
        return row, probabilities[0]

    def compute_outputs(self, batch: Mapping[str, Tensor], *, device: torch.device | None) -> Outputs:
        """Return losses, probabilities and labels of a batch, each as of one network."""
        image, label = batch["image"].to(device), batch["label"].to(device)
        logits = self.network(image)
        return self.loss(logits, label)[None], self.loss.probability(logits)[None], label[None]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Record the metrics of a batch."""
        label = batch["label"]
        with without_autocast(label):
            logits = self.network(batch["image"])
            loss, probability = self.loss(logits, label), self.loss.probability(logits)
        metrics = self.metrics[self.evaluated_stage]
        if self._shared is None:
            metrics.update(loss=loss, probability=probability, label=label)
            return
        images = cast(int, batch["images"])
        terms = self._shared.loss_terms(self.loss, loss, label, images=images)
        kept = slice(0 if self._shared.is_empty(images) else None)
        metrics.update_part(terms, probability=probability[kept], label=label[kept], images=images, dtype=loss.dtype)

    def on_validation_epoch_end(self) -> None:
        """Compute the metrics of the validation."""
        self.metrics[self.evaluated_stage].join_parts(self.loss)
        row, probabilities = self.metrics[self.evaluated_stage].compute()
        if self.trainer.state.fn != "fit":
            self.probabilities = probabilities
        self._store_evaluation(row)

    def create_optimizer(self) -> Optimizer:
        """Create an optimizer of the network's parameters, in groups where learning rates or weight decays differ."""
        if not self.lr_multipliers and self.decays_bias_and_norm:
            return self.make_optimizer(self.network.parameters())
        groups = group_parameters(self.network, self.lr_multipliers, decays_all=self.decays_bias_and_norm)
        optimizer = self.make_optimizer([group for _, group in groups])
        if self.lr_multipliers:
            scale_learning_rates(optimizer, [factor for factor, _ in groups])
        return optimizer

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Create the optimizer and its scheduler."""
        optimizer = self.create_optimizer()
        keep_state_precision(optimizer)
        schedule: dict[str, Any] = {"scheduler": self.make_scheduler(optimizer), "interval": self.interval}
        if self.monitor:
            schedule["monitor"] = self.monitor
            with suppress(RuntimeError):  # there is no trainer yet
                if self.monitor.startswith("val/"):  # epochs without validation lack the metric
                    schedule["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": schedule})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the metrics recorded so far in the current epoch."""
        checkpoint["classifier"] = {**self.train_metrics.state(), "row": dict(self._row)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the metrics recorded before the checkpoint in its epoch."""
        gathered = checkpoint["classifier"]
        self.train_metrics.restore(gathered)
        self._row = gathered["row"]

    def _store_evaluation(self, row: Row) -> None:
        self._check_loss(row[f"{self.evaluated_stage}/loss"])
        self._update_callback_metrics(row)
        self.evaluation = self._row = row

    def _check_loss(self, loss: float) -> None:
        if not isfinite(loss):
            weights = f"epoch {self.current_epoch}" if self.trainer.state.fn == "fit" else "the final weights"
            raise DivergedError(f"{self.evaluated_stage}/loss of {weights} is {loss}")

    def _update_callback_metrics(self, row: Row) -> None:
        self.trainer.callback_metrics.update({name: to_scalar_tensor(value) for name, value in row.items()})
