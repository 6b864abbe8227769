"""Checkpoints of callbacks that are not Copycat's."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from copycat.models.divergence import DivergedError
from copycat.records.background_writer import BackgroundWriter
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.checkpoint_io import AtomicCheckpointIO, check_finite
from copycat.training.resume import resume
from tests.support.runs import train_tiny

KEEP_TWO = [
    *("_target_=pytorch_lightning.callbacks.ModelCheckpoint", "monitor=train/loss", "save_top_k=2", "save_last=true"),
    "filename='{epoch}'",
]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")  # Lightning's, of a folder that is not empty
def test_a_model_checkpoint_of_lightning_keeps_its_best_in_a_folder_of_its_own(tiny: Path, tmp_path: Path) -> None:
    words = [*(f"+callbacks.top.{word}" for word in KEEP_TWO), "logger=none", "trainer.max_epochs=5"]
    folder = train_tiny(*words, data=tiny, at=tmp_path).folder
    own = folder / "checkpoints" / "top"
    assert sorted(path.name for path in own.iterdir()) == ["epoch=3.ckpt", "epoch=4.ckpt", "last.ckpt"]
    state = torch.load(own / "epoch=4.ckpt", weights_only=True)["state_dict"]
    for name, weight in load_file(folder / "weights.safetensors").items():
        assert torch.equal(state[f"network.{name}"], weight)
    resume(open_run(folder), more={"trainer.max_epochs": 7}, notify=lambda line: None)
    assert sorted(path.name for path in own.iterdir()) == ["epoch=5.ckpt", "epoch=6.ckpt", "last.ckpt"]
    assert rerun(open_recorded(folder), notify=lambda line: None).comparison.differences == []


@pytest.mark.parametrize("place", ["checkpoints/last.ckpt", "checkpoints/top/last.ckpt", "epoch=0-val/loss=1.ckpt"])
def test_a_deleted_run_folder_stays_deleted(place: str, tmp_path: Path) -> None:
    files = AtomicCheckpointIO(BackgroundWriter(), tmp_path / "run" / "checkpoints")
    files.writer.become_synchronous()
    with pytest.raises(FileNotFoundError):
        files.save_checkpoint({"state_dict": {}, "epoch": 0}, tmp_path / "run" / place)
    assert not list(tmp_path.iterdir())
    files.save_checkpoint({"state_dict": {}, "epoch": 0}, tmp_path / "elsewhere" / place)
    assert (tmp_path / "elsewhere" / place).is_file()


@pytest.mark.parametrize("value", [complex(1, torch.nan), torch.inf])
def test_a_weight_that_is_not_finite_is_named(value: complex) -> None:
    with pytest.raises(DivergedError, match=r"^weight a is not finite after epoch 3$"):
        check_finite(
            {"epoch": 3, "state_dict": {"b": torch.ones(2, dtype=torch.complex64), "a": torch.tensor([1, value])}}
        )
