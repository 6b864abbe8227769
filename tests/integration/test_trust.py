"""Hostile folders, given to the commands as a user would give them."""

import shutil
from pathlib import Path

import pytest

from tests.support.commands import run_copycat
from tests.support.hostile_folders import FOLDERS, HostileFolder
from tests.support.run_folders import strip_signature
from tests.support.runs import train_tiny

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("hostile", FOLDERS[::24], ids=lambda hostile: hostile.name)
def test_a_command_answers_a_hostile_folder_with_one_line(hostile: HostileFolder, tiny: Path, tmp_path: Path) -> None:
    made = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path / "runs").folder
    folder = Path(shutil.move(made, tmp_path / "run"))
    shutil.rmtree(tmp_path / "runs")
    strip_signature(folder)
    hostile.spoil(folder, tmp_path / "canary")
    before = sorted(tmp_path.rglob("*"))
    for command in ("rerun", "resume"):
        done = run_copycat(command, folder, at=tmp_path)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("copycat: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a pipe: metrics.csv", "a link: metrics.csv"])
def test_a_command_that_only_looks_does_so_too(name: str, tiny: Path, tmp_path: Path) -> None:
    folder, other = (train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path / at).folder for at in "ab")
    next(hostile for hostile in FOLDERS if hostile.name == name).spoil(folder, tmp_path / "canary")
    for words in (["report", folder], ["compare", other, folder], ["inspect", "--weights", folder]):
        done = run_copycat(*words, at=tmp_path)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "metrics.csv" in done.stderr
