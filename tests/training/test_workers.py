"""The number of processes that decode images changes no bit of a run."""

from pathlib import Path

import pytest

from tests.support.parameters import mark_slow
from tests.support.runs import QUIET, train_tiny

WORDS = (
    *("model=cnn", "model.channels=[4,8]", "model.dropout=0.3", "augmentation=light", "augmentation.shift=2"),
    *("data.shuffle=true", "data.batch_size=5", "data.memory_mb=0", "optimizer=adam", "trainer.max_epochs=3"),
)


def train_and_read_files(data: Path, at: Path, *words: str) -> tuple[bytes, bytes]:
    """Metrics and weights of a run."""
    outcome = train_tiny(*WORDS, *QUIET, *words, data=data, at=at)
    assert outcome.status == "completed"
    return (outcome.folder / "metrics.csv").read_bytes(), (outcome.folder / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def without_workers(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    return train_and_read_files(tiny, tmp_path_factory.mktemp("outputs"), "data.workers=0")


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")  # where there are fewer cores
@pytest.mark.parametrize("workers", mark_slow([1, 2, 4], fast=[2]))
def test_a_run_has_the_same_bits_for_any_number_of_workers(
    workers: int, without_workers: tuple[bytes, bytes], tiny: Path, tmp_path: Path
) -> None:
    assert train_and_read_files(tiny, tmp_path, f"data.workers={workers}") == without_workers


def test_a_set_in_memory_gives_the_bits_of_one_that_is_decoded(
    without_workers: tuple[bytes, bytes], tiny: Path, tmp_path: Path
) -> None:
    assert train_and_read_files(tiny, tmp_path, "data.memory_mb=2048") == without_workers


@pytest.mark.parametrize(
    "words", [["augmentation.flip=0.0", "augmentation.shift=0"], ["model.dropout=0.0"], ["seed=124"]]
)
def test_what_is_compared_here_depends_on_each_chance(
    words: list[str], without_workers: tuple[bytes, bytes], tiny: Path, tmp_path: Path
) -> None:
    metrics, weights = train_and_read_files(tiny, tmp_path, "data.workers=0", *words)
    assert metrics != without_workers[0]
    assert weights != without_workers[1]
