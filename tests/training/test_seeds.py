"""The random numbers of a training step follow from the run's seed, the epoch and the batch alone."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.plain_loop import Loop, format_bits, read_images, read_loss_bits, train_quick

pytestmark = pytest.mark.usefixtures("threads")


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """By docs/reference/run-folder.md: BLAKE2b of 8 bytes, read little-endian and halved."""
    said = f"('step', {seed}, {epoch}, {batch}, 0)".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little") >> 1


def test_loggers_callbacks_and_validation_draw_no_random_number_of_the_training(pets: Path, tmp_path: Path) -> None:
    words = ["model=cnn", "model.channels=[4,6]", "optimizer=adam", "trainer.max_epochs=4", "data.batch_size=16"]
    outcome = train_quick(pets, tmp_path, *words, "callbacks=default", "logger=tensorboard", "seed=7")
    assert (outcome.folder / "checkpoints" / "best.ckpt").is_file()
    assert any((outcome.folder / "tensorboard").rglob("events.*"))
    torch.manual_seed(7)
    blocks = [[nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)] for a, b in ((3, 4), (4, 6))]
    model = nn.Sequential(*blocks[0], *blocks[1], nn.Flatten(), nn.Dropout(0.25), nn.Linear(24, 1), nn.Sigmoid())
    data = read_images(pets, "train")
    batches = -(-len(data[1]) // 16)
    steps = ((epoch, batch) for epoch in range(4) for batch in range(batches))
    model.register_forward_pre_hook(lambda *_: torch.manual_seed(step_seed(7, *next(steps))) and None)
    assert read_loss_bits(outcome) == format_bits(Loop(model, data, torch.optim.Adam, epochs=4, size=16).losses)
