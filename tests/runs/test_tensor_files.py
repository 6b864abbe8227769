"""Callback states of a checkpoint: Lightning deletes the files that they name."""

from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.runs.tensor_files import check_own_states


def test_a_checkpoint_of_ones_own_run_may_name_files_of_that_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "best.ckpt").touch()
    states = {"best": {"best_model_path": str(folder / "best.ckpt"), "kept": "/nowhere/of/a/moved/run.ckpt"}}
    check_own_states(folder / "last.ckpt", states, folder=folder)


@pytest.mark.parametrize("how", ["value", "key"])
def test_it_may_name_no_file_elsewhere(how: str, tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "other.ckpt"
    folder.mkdir()
    other.touch()
    named = str(folder / ".." / "other.ckpt") if how == "key" else str(other)
    states = {"best": {"best_k_models": {named: 0.5}} if how == "key" else {"best_model_path": named}}
    with pytest.raises(UserError, match="expected callbacks that name no file outside the run folder; got "):
        check_own_states(folder / "last.ckpt", states, folder=folder)
