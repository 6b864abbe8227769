"""Find the largest batch whose training step fits into memory."""

import gc
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.models.divergence import DivergedError
from copycat.training.components import build_components, build_training_data
from copycat.training.derived_settings import fill_image_size
from copycat.training.process_state import isolated, logged
from copycat.training.range_test import fit_without_records
from copycat.training.session import make_trainer
from copycat.training.signals import SignalHandler
from copycat.training.system_memory import measure_peak_bytes, read_available_bytes

Config = Mapping[str, Any]
Report = Callable[[int], None]
"""Called with each size before it is tried."""
USABLE = 0.8
"""Share of the available memory that a batch may take on the CPU."""
CLEAR = 2**26
"""Peak memory in bytes below which larger batches are tried: they take a moment."""
LINEAR = 0.02
"""Relative difference between the growths of two doublings up to which the peak counts as a straight line."""
LEAST = 2
"""Smallest batch that is tried, in a set that has as many: batch normalization takes no single image."""
STEPS = 2
"""Optimizer steps of an attempt: the state of most optimizers is made by the first."""


@dataclass
class BatchSizeSearch:
    """Hold the attempts of a search."""

    images: int
    """Training images: a batch cannot have more."""
    device: str
    limit: int | None = None
    """Bytes that the steps may take on the CPU."""
    peaks: dict[int, Any] = field(default_factory=dict)
    """Peak memory in bytes by batch size; None for a batch that did not fit."""
    largest: int = 0
    """Largest batch that fits; 0 where none does."""

    @property
    def is_predicted(self) -> bool:
        """Return whether the largest batch was not tried itself."""
        return self.largest not in self.peaks


def find_batch_size(config: Config, *, report: Report = lambda _: None) -> BatchSizeSearch:
    """Try training steps of growing batches, and restore the process; the networks are discarded, nothing is written.

    On an accelerator, sizes are doubled until one is out of memory, then bisected. On the CPU, where the system would
    end the process, torch's allocations are measured for doubled sizes until they grow along a straight line, which
    predicts the rest.

    Args:
        config: composed configuration.
        report: is called with each size before it is tried.

    Raises:
        UserError: where the run cannot be built, or the system does not say how much memory it has.
    """
    signals = SignalHandler()
    with isolated(threads=config["trainer"].get("threads")), signals.listening(), logged(Path(os.devnull)):
        config = fill_image_size({**config, "callbacks": None, "logger": None})
        data = build_training_data(config)
        attempts = _Attempts(config, data, signals)
        trainer = make_trainer(config["trainer"], Path(), logger=False, enable_checkpointing=False)
        search = BatchSizeSearch(len(data.parts["train"]), trainer.strategy.root_device.type)
        if search.device == "cpu":
            measure_sizes(search, attempts.run, report=report)
        else:
            try_sizes(search, attempts.run, report=report)
        return search


class _Attempts:
    """Take training steps with a batch size, each with a network of its own."""

    def __init__(self, config: Config, data: DataModule, signals: SignalHandler) -> None:
        self.config, self.data, self.signals = config, data, signals

    def run(self, size: int) -> None:
        """Take the steps."""
        config = {**self.config, "data": {**self.config["data"], "batch_size": size}}
        data = build_training_data(config)
        data.share_parts(self.data)
        components = build_components(config, data=data)
        with suppress(DivergedError):  # which takes the same memory
            fit_without_records(components, self.signals, _DataOnDevice(data), steps=STEPS)
        gc.collect()  # a Trainer and its loops refer to each other


class _DataOnDevice(pl.Callback):
    """Keep the images on the device, as the multi-step loop does."""

    def __init__(self, data: DataModule) -> None:
        self.data = data

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.data.to_device(trainer.strategy.root_device)


def try_sizes(search: BatchSizeSearch, run: Callable[[int], Any], *, report: Report) -> None:
    """Double the size until it is out of memory, then bisect."""

    def fits(size: int) -> bool:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        report(size)
        search.peaks[size] = None
        try:
            run(size)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):  # as of MPS
                raise
            return False
        finally:
            gc.collect()  # a traceback holds tensors
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        search.peaks[size] = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return True

    search.largest = find_largest(fits, most=search.images)


def find_largest(fits: Callable[[int], bool], *, most: int) -> int:
    """Return the largest number from LEAST to `most` that fits, by doubling and bisection; 0 where none does."""
    good, bad = 0, most + 1
    while bad - max(good, LEAST - 1) > 1 and good < most:
        size = min(max(LEAST, 2 * good), most) if bad > most else (good + bad) // 2
        if fits(size):
            good = size
        else:
            bad = size
    return good


def measure_sizes(search: BatchSizeSearch, run: Callable[[int], Any], *, report: Report) -> None:
    """Measure the peak memory of doubled sizes until it grows along a straight line, which predicts the largest.

    Raises:
        UserError: where the system does not say how much memory it has.
    """
    size = min(LEAST, search.images)
    run(size)  # loads what only a first step loads, and converts the images
    available = read_available_bytes()
    if available is None:
        raise UserError("--batch-size: expected an accelerator, or a system that tells its free memory; got neither.")
    search.limit, slope, before = int(USABLE * available), 0.0, 0
    while True:
        report(size)
        search.peaks[size] = peak = measure_peak_bytes(partial(run, size))
        last_slope, slope = slope, max(0.0, (peak - search.peaks[before]) / (size - before)) if before else 0.0
        room = search.limit - peak
        if size == search.images and room >= 0:
            search.largest = size
            return
        is_straight = peak >= CLEAR and slope > 0 and abs(slope - last_slope) <= LINEAR * slope
        if room < 0 or is_straight or slope * (min(2 * size, search.images) - size) > room:
            break
        before, size = size, min(2 * size, search.images)
    most = int(size + room / slope) if slope > 0 else size - 1
    search.largest = max(0, min(most, search.images))
