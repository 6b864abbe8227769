"""A checkpoint from the template is the one that Lightning would save."""

from pathlib import Path
from typing import Any

import pytest
import torch

from copycat.training.checkpoint_io import deep_copy
from copycat.training.checkpoint_template import CheckpointTemplate
from copycat.training.lightning_internals import dump_checkpoint
from tests.support.runs import train_tiny

SMALL = ("model=shallow", "model.hidden=[3]", "trainer.threads=1", "logger=none", "trainer.max_epochs=9")


def find_differences(a: Any, b: Any, at: str = "") -> list[str]:
    if isinstance(a, dict):
        keys = [f"{at}: {sorted(map(str, a))}"] if list(a) != list(b) else []
        return keys + [one for key in a if key in b for one in find_differences(a[key], b[key], f"{at}/{key}")]
    if isinstance(a, list | tuple):
        pairs = zip(a, b, strict=True)
        return [one for place, (x, y) in enumerate(pairs) for one in find_differences(x, y, f"{at}/{place}")]
    if isinstance(a, torch.Tensor):  # the last loss is nan until the epoch is logged
        return [] if torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) else [f"{at}: {a} {b}"]
    return [] if a == b else [f"{at}: {a} {b}"]


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=adam",),
        ("optimizer=momentum", "scheduler=cosine", "data.batch_size=5"),
        ("optimizer=adamw", "scheduler=warmup", "scheduler.interval=step", "callbacks=[default,ema]"),
    ],
)
def test_it_holds_what_lightning_saves(
    words: tuple[str, ...], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, compared, kept = CheckpointTemplate.take, 0, list[tuple[Any, Any]]()

    def compare(self: CheckpointTemplate) -> Any:
        nonlocal compared
        with monkeypatch.context() as patch:  # of the first call
            patch.setattr("copycat.training.checkpoints.LastCheckpoint.seconds", 1.0)
            taken, saved = take(self), deep_copy(dump_checkpoint(self.trainer))
        assert not find_differences(saved, taken)
        compared += 1
        kept.append((taken, saved))
        return taken

    monkeypatch.setattr(CheckpointTemplate, "take", compare)
    done = train_tiny(*SMALL, *words, "callbacks.last.every_n_epochs=100", data=tiny, at=tmp_path)
    assert done.status == "completed", done.manifest["error"]
    assert compared > 2
    taken, saved = kept[1]  # later epochs changed neither
    assert not find_differences(saved["state_dict"], taken["state_dict"])
    assert not find_differences(saved["optimizer_states"], taken["optimizer_states"])
