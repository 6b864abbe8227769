"""Train tiny runs in the test's own process."""

from pathlib import Path

from copycat.config.compose import compose
from copycat.runs.train import Outcome, train

QUIET = ("callbacks=none", "logger=none")
"""Overrides of a run that writes no checkpoints and no TensorBoard files."""


def train_tiny(*overrides: str, data: Path, at: Path) -> Outcome:
    """Train on a folder of 8×8 images, with run folders below `at`."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8", f"output_dir={at}"]
    return train(compose([*where, *overrides]))
