"""The drawn set is hard enough for a neuron, and learnable for a network that sees shapes."""

from pathlib import Path

import pytest

from copycat.config.compose import compose
from copycat.training.train import RunResult, train

pytestmark = pytest.mark.slow

QUIET = ("callbacks=none", "logger=none")


def _train(*words: str, at: Path) -> RunResult:
    return train(compose([*words, *QUIET, f"output_dir={at}"]))


def test_logistic_regression_does_poorly_on_the_drawn_images(tmp_path: Path) -> None:
    final = _train(at=tmp_path).manifest["results"]["final"]
    assert 0.6 <= final["val/accuracy"] <= 0.8


def test_a_cnn_does_well_on_the_drawn_images(tmp_path: Path) -> None:
    words = ("model=cnn", "optimizer=adam", "data.batch_size=32", "data.shuffle=true", "trainer.max_epochs=10")
    assert _train(*words, at=tmp_path).best["val/accuracy"] >= 0.86
