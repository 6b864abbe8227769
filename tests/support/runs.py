"""Compose and train tiny runs in the test's own process."""

from collections.abc import Sequence
from pathlib import Path

from copycat.config.compose import Request
from copycat.config.trial_composition import compose_trial_request
from copycat.training.train import RunResult, train

QUIET = ("callbacks=none", "logger=none")
"""Overrides of a run that writes no checkpoints and no TensorBoard files."""


def compose_quickly(overrides: Sequence[str]) -> Request:
    """Compose a run as a sweep composes its trials: the same options are composed once, then values are set on them.

    tests/config/test_composition_cache.py holds that `compose` gives the same. Hydra takes 0.1 s for it.
    """
    composed = compose_trial_request(overrides)
    experiment = "default" if composed.experiment == "sweep" else composed.experiment
    return Request(config=composed.config, experiment=experiment, overrides=overrides)


def train_tiny(*overrides: str, data: Path, at: Path) -> RunResult:
    """Train on a folder of 8×8 images, with run folders below `at`."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8", f"output_dir={at}"]
    return train(compose_quickly([*where, *overrides]))
