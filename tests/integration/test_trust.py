"""Hostile folders, given to the commands as a user would give them."""

import shutil
from pathlib import Path

import pytest

from tests.commands import copycat
from tests.runs.asking import run
from tests.runs.hostile import FOLDERS, Hostile, strip_seal


@pytest.mark.parametrize("hostile", FOLDERS[::24], ids=lambda hostile: hostile.name)
def test_a_command_answers_a_hostile_folder_with_one_line(hostile: Hostile, tiny: Path, tmp_path: Path) -> None:
    made = run("trainer.max_epochs=1", data=tiny, at=tmp_path / "runs").folder
    folder = Path(shutil.move(made, tmp_path / "run"))
    shutil.rmtree(tmp_path / "runs")
    strip_seal(folder)
    hostile.spoil(folder, tmp_path / "canary")
    before = sorted(tmp_path.rglob("*"))
    for command in ("rerun", "resume"):
        done = copycat(command, folder, at=tmp_path)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("copycat: ")
    assert sorted(tmp_path.rglob("*")) == before
