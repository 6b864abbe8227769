"""How a trial in a process of its sweep ends."""

from pathlib import Path

from tests.support.packs import read_trials, run_sweep


def test_ctrl_c_that_a_library_hides_behind_an_error_of_its_own_ends_the_sweep(tiny: Path, tmp_path: Path) -> None:
    losing = "+callbacks.losing._target_=tests.support.callbacks.LosesCtrlC"
    sweep = run_sweep("seed=1,2", "trainer.max_epochs=1", losing, data=tiny, at=tmp_path, status=130)
    assert "failed" not in {trial.status for trial in read_trials(sweep)}
