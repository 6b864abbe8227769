"""Find a learning rate by a range test: train while the rate grows exponentially, and watch the loss."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from copycat.config.errors import UserError
from copycat.models.classifier import Classifier
from copycat.models.divergence import DivergedError
from copycat.training.components import RunComponents, build_components
from copycat.training.process_state import isolated, logged
from copycat.training.seeds import StepSeeds
from copycat.training.session import make_trainer
from copycat.training.signals import SignalHandler

Config = Mapping[str, Any]
CONSTANT = {
    "_target_": "torch.optim.lr_scheduler.ConstantLR",
    "_partial_": True,
    "factor": 1.0,
    "interval": "epoch",
}
WINDOW = 0.1
"""Share of the steps that the loss is averaged over, half of them on either side."""
TRAILING = 5
"""Steps whose mean loss is compared with the smallest such mean, to find a divergence."""
DIVERGENCE = 4.0
"""Ratio of the two from which the loss counts as diverged, as in fastai."""


@dataclass(frozen=True)
class RangeTest:
    """Hold the losses of a range test.

    Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    """Training loss of each step, before its update."""
    diverged: bool

    @property
    def smoothed(self) -> Sequence[float]:
        """Return the mean loss around each step."""
        half, count = self._half_window, len(self.losses)
        return [float(np.mean(self.losses[max(0, place - half) : place + half + 1])) for place in range(count)]

    @property
    def suggestion(self) -> float | None:
        """Return the rate at which the loss falls fastest; None where it falls no more than it varies between steps.

        Its slope over the rate's logarithm is that of a line through the losses around a step, by least squares, up to
        the end of the descent.
        """
        half, lowest = 2 * self._half_window, self._lowest
        noise = float(np.std(np.subtract(self.losses, self.smoothed)[: lowest + 1]))
        if lowest <= half or self.smoothed[0] - self.smoothed[lowest] <= noise:
            return None
        slopes = np.correlate(self.losses, np.arange(-half, half + 1), mode="valid")[: lowest - half + 1]
        return float(self.rates[int(slopes.argmin()) + half])

    @property
    def lowest(self) -> float:
        """Return the rate at the end of the descent."""
        return float(self.rates[self._lowest])

    @property
    def ceiling(self) -> float:
        """Return the largest loss that plots show: a diverging loss leaves them."""
        first, low = self.smoothed[0], min(self.smoothed)
        return first + max(first - low, 0.05 * abs(first))

    @property
    def _lowest(self) -> int:
        """Return the step of the lowest smoothed loss before it rises by a quarter of its whole descent."""
        smoothed = np.array(self.smoothed)
        rise = smoothed - np.minimum.accumulate(smoothed)
        is_over = rise > (smoothed[0] - smoothed.min()) / 4
        end = int(is_over.argmax()) if is_over.any() else len(smoothed)
        return int(smoothed[: max(end, 1)].argmin())

    @property
    def _half_window(self) -> int:
        return max(1, round(WINDOW * len(self.rates) / 2))


def run_range_test(config: Config, *, least: float, most: float, steps: int) -> RangeTest:
    """Train with rates from `least` to `most`, and restore the process; the network is discarded, nothing is written.

    Data, network, optimizer, loss, augmentation, precision and seeds are the run's; its scheduler, callbacks and
    loggers have no part.

    Raises:
        UserError: where the run cannot be built, or has no learning rate.
    """
    signals = SignalHandler()
    with isolated(threads=config["trainer"].get("threads")), signals.listening(), logged(Path(os.devnull)):
        components = build_components({**config, "scheduler": CONSTANT, "callbacks": None, "logger": None})
        sweep = _RateSweep(np.geomspace(least, most, steps).tolist(), components.classifier)
        diverged = False
        try:
            fit_without_records(components, signals, sweep, steps=steps)
        except DivergedError:
            diverged = True
        if not sweep.losses:
            raise UserError("--lr-find: expected a finite loss of the initial weights; got none.")
        count = len(sweep.losses)
        return RangeTest(sweep.rates[:count], sweep.losses, diverged or sweep.has_diverged())


def fit_without_records(
    components: RunComponents, signals: SignalHandler, callback: pl.Callback, *, steps: int
) -> None:
    """Train for some steps with one callback, and write nothing.

    Raises:
        DivergedError: where the loss is not finite.
    """
    config, classifier = components.config, components.classifier
    node = {**config["trainer"], "max_epochs": -1, "max_steps": steps, "limit_val_batches": 0}
    seeds = StepSeeds(config["seed"], classifier.network)
    trainer = make_trainer(node, Path(), logger=False, callbacks=[seeds, signals, callback], enable_checkpointing=False)
    try:
        trainer.fit(classifier, datamodule=components.data)
    except SystemExit as end:  # into which Lightning turns Ctrl-C
        raise KeyboardInterrupt from end


class _RateSweep(pl.Callback):
    """Set the rate of each optimizer step, and record its loss."""

    def __init__(self, rates: Sequence[float], classifier: Classifier) -> None:
        self.rates, self.classifier, self.losses = rates, classifier, list[float]()
        self._factors: list[float] = []
        self._window: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        groups = trainer.optimizers[0].param_groups
        if any("lr" not in group for group in groups):
            raise UserError(f"--lr-find: expected an optimizer with lr; got {type(trainer.optimizers[0]).__name__}.")
        self._factors = [group["lr"] / groups[0]["lr"] for group in groups]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for group, factor in zip(trainer.optimizers[0].param_groups, self._factors, strict=True):
            group["lr"] = self.rates[trainer.global_step] * factor

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._window.append(float(self.classifier.train_metrics.last_loss))
        if trainer.global_step > len(self.losses):  # several batches may make one step
            self.losses.append(float(np.mean(self._window)))
            self._window.clear()
            trainer.should_stop = self.has_diverged()

    def has_diverged(self) -> bool:
        """Return whether the mean of the last losses is far above the smallest such mean."""
        if len(self.losses) < 2 * TRAILING:
            return False
        means = np.convolve(self.losses, np.full(TRAILING, 1 / TRAILING), mode="valid")
        return bool(means[-1] > DIVERGENCE * means.min())
