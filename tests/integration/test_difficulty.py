"""The drawn set is hard enough for a neuron, and learnable for a network that sees shapes."""

from pathlib import Path

import pytest

from copycat.config.compose import compose
from copycat.runs.train import train

pytestmark = pytest.mark.slow

QUIET = ("callbacks=none", "logger=none")


def _accuracy(*words: str, at: Path) -> float:
    final: dict[str, float] = train(compose([*words, *QUIET, f"output_dir={at}"])).manifest["came_out"]["final"]
    return final["val/accuracy"]


def test_logistic_regression_does_poorly_on_the_drawn_images(tmp_path: Path) -> None:
    assert 0.6 <= _accuracy(at=tmp_path) <= 0.8


def test_a_cnn_does_well_on_the_drawn_images(tmp_path: Path) -> None:
    words = ("model=cnn", "optimizer=adam", "data.batch_size=32", "data.shuffle=true", "trainer.max_epochs=30")
    assert _accuracy(*words, at=tmp_path) >= 0.86
