"""The progress of a sweep, as text."""

from pathlib import Path

from copycat.sweeps.progress_display import ProgressDisplay
from tests.support.packs import read_trials, run_sweep
from tests.support.runs import QUIET


def test_a_trial_that_ran_out_of_its_time_is_not_shown_as_failed(tiny: Path, tmp_path: Path) -> None:
    words = ("seed=1,2", "sweep.max_seconds=1e-9", *QUIET)
    folder = run_sweep(*words, data=tiny, at=tmp_path, status=1)
    progress = ProgressDisplay(folder, 2, {})
    for trial in read_trials(folder):
        progress.count(trial)
    assert progress.status_text == "2 out of time"
