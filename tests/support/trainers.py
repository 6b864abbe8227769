"""Make Lightning trainers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from copycat.training.lightning_internals import keep_fault_handlers


def make_trainer(folder: Path, *callbacks: pl.Callback, epochs: int, sanity_steps: int = 0) -> pl.Trainer:
    """Make a trainer for the CPU that logs, shows and saves nothing."""
    trainer = pl.Trainer(
        callbacks=list(callbacks),
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=sanity_steps,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    keep_fault_handlers(trainer)
    return trainer


class HalfTrainer(pl.Trainer):
    """Train in float16 with a gradient scaler on the CPU, where Lightning's own Trainer takes bfloat16 instead.

    Args:
        scale: the scaler's first factor; one far above 1 makes the first gradients overflow.
    """

    def __init__(
        self, *, precision: Literal["16-mixed"], plugins: Sequence[Any], scale: float = 2.0**16, **settings: Any
    ) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        super().__init__(plugins=[*plugins, MixedPrecision(precision, "cpu", scaler)], **settings)
