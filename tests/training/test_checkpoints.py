"""A run goes on from the last whole checkpoint; half-written and damaged ones stop none."""

from pathlib import Path

import pytest
import torch

from copycat.config.errors import UserError
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from tests.support.killed_runs import CNN, assert_same_folders, kill_run, train_killable
from tests.support.runs import train_tiny

pytestmark = pytest.mark.usefixtures("all_checkpoints")


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(damage: str, tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    last = folder / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    last.write_bytes({"cut": bytes(content[:-100]), "empty": b"", "flipped": bytes(content)}[damage])
    said: list[str] = []
    resume(open_run(folder), notify=said.append)
    assert said[0].startswith(f"{last}: expected a whole checkpoint; ")
    assert said[1].endswith("by before.ckpt")
    assert_same_folders(folder, reference)


def test_without_any_whole_checkpoint_a_run_starts_anew(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    for name in ("last.ckpt", "before.ckpt"):
        (folder / "checkpoints" / name).write_bytes(b"")
    said: list[str] = []
    resume(open_run(folder), notify=said.append)
    assert said[-1] == "no checkpoint to resume from: starting from the beginning"
    assert_same_folders(folder, reference)


def test_checkpoints_load_under_weights_only_while_a_run_is_on_its_way(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, *CNN, after=("batch", 7))
    for file in (folder / "checkpoints").iterdir():
        assert torch.load(file, weights_only=True)["state_dict"]


@pytest.mark.parametrize("word", ["filename=mine", "dirpath='{run}/mine'"])
def test_the_checkpoint_to_resume_from_has_no_other_place(word: str, tiny: Path, tmp_path: Path) -> None:
    """A run that was killed would start anew, without a word."""
    with pytest.raises(UserError, match=r"^callbacks\.last\.\w+: expected .*, where copycat resume looks"):
        train_tiny(f"callbacks.last.{word}", "trainer.max_epochs=1", data=tiny, at=tmp_path / "outputs")
    assert not list(tmp_path.iterdir())
