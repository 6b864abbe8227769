"""Make plain Lightning trainers."""

from pathlib import Path

import pytorch_lightning as pl


def make_trainer(folder: Path, *callbacks: pl.Callback, epochs: int, sanity_steps: int = 0) -> pl.Trainer:
    """Make a trainer for the CPU that logs, shows and saves nothing."""
    return pl.Trainer(
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
