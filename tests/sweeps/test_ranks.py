"""Trials that each have several ranks."""

import json
from pathlib import Path

from tests.support.commands import run_copycat
from tests.support.ranks import TWO


def test_each_trial_of_a_sweep_with_several_ranks_has_one_folder(tmp_path: Path) -> None:
    words = (*TWO, "trainer.max_epochs=2", "model.hidden=[2]", "callbacks=none", "logger=none", "seed=0,1")
    done = run_copycat("train", "-m", *words, f"sweep.folder={tmp_path}/sweep", at=tmp_path)
    assert done.returncode == 0, done.stderr
    manifests = sorted(tmp_path.rglob("run.json"))
    assert [path.parent.name for path in manifests] == ["0", "1"]
    assert all(json.loads(path.read_text(encoding="utf-8"))["status"] == "completed" for path in manifests)
    assert all((path.parent / "train.1.log").exists() for path in manifests)
