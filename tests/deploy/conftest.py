"""A run that errs with confidence, for the tests of calibrations."""

from pathlib import Path

import pytest

from tests.support.calibration import OVERFITTED, write_hard_images
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="session")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hard_images(tmp_path_factory.mktemp("hard"))


@pytest.fixture(scope="session")
def overfitted(hard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a calibration, which no test changes."""
    return train_tiny(*OVERFITTED, *QUIET, data=hard, at=tmp_path_factory.mktemp("runs")).folder
