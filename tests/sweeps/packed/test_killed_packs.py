"""A pack that was killed at any time resumes where it stopped, to the same bits."""

import shutil
from pathlib import Path

import pytest
import torch

from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from tests.support.commands import run_copycat
from tests.support.packs import LONG, PACKED, kill_sweep, read_trials, resume_sweep, run_self_killing_sweep, run_sweep
from tests.support.run_folders import assert_same_bits, read_training_losses


@pytest.mark.slow
def test_a_killed_pack_resumes_to_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[4]", "optimizer=adam", "seed=1,2,3", "trainer.max_epochs=12", PACKED)
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=7)
    folder = tmp_path / "killed" / "sweep"
    assert {trial.status for trial in read_trials(folder)} == {"running"}
    assert torch.load(folder / "1/checkpoints/last.ckpt", weights_only=True)["copycat"]["epoch"] == 7
    done = run_copycat("resume", folder, at=tmp_path)
    assert done.returncode == 0, done.stderr
    for number in range(3):
        assert read_manifest(folder / str(number))["resumed"][0]["epoch"] == 7
        assert_same_bits(folder / str(number), whole / str(number))


DYING_AT_EPOCH = """
import copycat.sweeps.packed.loop as packed
packed.SAVE_INTERVAL = packed.WRITE_INTERVAL = 0.0
packed.MAX_SAVING_SHARE = float('inf')
from copycat.sweeps.packed.checkpoints import TrialCheckpoints
write = TrialCheckpoints.write
def dying(self, last):
    write(self, last)
    self.recorder.writer.wait()
    if last['epoch'] == {}: os.kill(os.getpid(), 9)
TrialCheckpoints.write = dying
"""
DYING_WITH_RECORDS = """
from copycat.training.recorder import RunRecorder
complete, calls = RunRecorder.complete, []
def dying(self, *words):
    calls.append(words)
    if len(calls) == {}: os.kill(os.getpid(), 9)
    complete(self, *words)
RunRecorder.complete = dying
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [*(DYING_AT_EPOCH.format(epoch) for epoch in (1, 7, 12)), *(DYING_WITH_RECORDS.format(trial) for trial in (1, 2))],
    ids=["first save", "later save", "last save", "records of the first trial", "records of the second"],
)
def test_a_pack_that_is_killed_between_the_writes_of_its_trials_resumes_to_the_same_bits(
    program: str, tiny: Path, tmp_path: Path
) -> None:
    words = (*LONG, "seed=1,2,3")
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    run_self_killing_sweep(program, words, data=tiny, at=tmp_path / "killed")
    folder = tmp_path / "killed" / "sweep"
    resume_sweep(folder, at=tmp_path)
    for number in map(str, range(3)):
        assert_same_bits(folder / number, whole / number)


@pytest.mark.slow
@pytest.mark.parametrize("records", ["", "RunRecorder.complete = lambda *_: time.sleep(60)\n"], ids=["", "unrecorded"])
@pytest.mark.parametrize("epochs", [5, 23, 38], ids=["just after the end", "later", "twice"])
def test_a_pack_of_which_a_trial_had_ended_resumes_to_the_same_bits(
    epochs: int, records: str, tiny: Path, tmp_path: Path
) -> None:
    words = (
        *("model=shallow", "model.hidden=[3]", "optimizer=adam", "callbacks=early_stopping", PACKED),
        *("callbacks.early_stopping.patience=2", "trainer.max_epochs=40"),
        "optimizer.lr=0.01,0.011,0.012,0.013,0.014,0.015,0.016,0.9",
    )
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    counts = [len(read_training_losses(whole / str(number))) for number in range(8)]
    assert [*counts[:7], counts[7] < 5] == [40] * 7 + [True]
    program = f"import time\nfrom copycat.training.recorder import RunRecorder\n{records}"
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=epochs, program=program)
    folder = tmp_path / "killed" / "sweep"
    has_ended = read_trials(folder)[7].status == "completed"  # just after the end, its records may be half written
    files = {path: path.read_bytes() for path in (folder / "7").rglob("*") if path.is_file()}
    if epochs == 38:
        done = run_copycat("resume", folder, at=tmp_path, program=f"import os\n{DYING_WITH_RECORDS.format(1)}")
        assert done.returncode == -9
    resume_sweep(folder, at=tmp_path)
    for number in map(str, range(8)):
        assert_same_bits(folder / number, whole / number)
    if has_ended:
        assert {path: path.read_bytes() for path in (folder / "7").rglob("*") if path.is_file()} == files


@pytest.mark.slow
def test_a_pack_whose_trials_ended_after_its_last_save_is_rebuilt_at_the_same_epochs(
    tiny: Path, tmp_path: Path
) -> None:
    words = (
        *("model=shallow", "model.hidden=[3]", "optimizer=adam", "callbacks=early_stopping", PACKED),
        *("callbacks.early_stopping.patience=2", "trainer.max_epochs=40"),
        "optimizer.lr=0.01,0.011,0.012,0.013,0.014,0.9,0.8,0.7",
    )
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    ends = [len(read_training_losses(whole / str(number))) for number in range(8)]
    assert ends[:5] == [40] * 5
    assert all(2 < end < 18 for end in ends[5:])
    program = "packed.Pack._is_save_due = lambda self, epoch: epoch == 2\n"
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=20, program=program)
    folder = tmp_path / "killed" / "sweep"
    assert [trial.status for trial in read_trials(folder)] == ["running"] * 5 + ["completed"] * 3
    resume_sweep(folder, at=tmp_path)
    for number in map(str, range(8)):
        assert_same_bits(folder / number, whole / number)


@pytest.mark.slow
@pytest.mark.parametrize("begun", [True, False])
def test_partly_written_files_of_a_killed_pack_are_removed(begun: bool, tiny: Path, tmp_path: Path) -> None:
    kill_sweep((*LONG, "seed=1,2"), data=tiny, at=tmp_path, epoch=6)
    folder = tmp_path / "sweep"
    if not begun:  # killed before its manifest was written
        for path in (folder / "1").iterdir():
            if path.name not in ("trial.json", "checkpoints"):
                path.unlink() if path.is_file() else shutil.rmtree(path)
    left = [folder / "0/checkpoints/.last.ckpt.0a1b2c", folder / "1/.run.json.0a1b2c"]
    for path in left:
        path.write_bytes(b"half")
    resume_sweep(folder, at=tmp_path)
    assert not [path for path in left if path.exists()]
    assert {trial.status for trial in read_trials(folder)} == {"completed"}


@pytest.mark.slow
def test_one_trial_of_a_killed_pack_can_be_resumed_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "seed=1,2", "trainer.max_epochs=12", PACKED)
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=6)
    outcome = resume(open_run(tmp_path / "killed" / "sweep" / "1"), notify=lambda line: None)
    assert outcome.status == "completed"
    assert read_training_losses(outcome.folder) == pytest.approx(read_training_losses(whole / "1"), rel=1e-5)


SLOW_FIRST_WRITE = """
import time
from copycat.sweeps.packed.checkpoints import TrialCheckpoints
write, calls = TrialCheckpoints.write, []
def write_slowly(self, last):
    calls.append(last)
    time.sleep(1 if len(calls) == 1 else 0)
    write(self, last)
TrialCheckpoints.write = write_slowly
"""


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["", SLOW_FIRST_WRITE], ids=["a disk", "a slow disk"])
def test_a_trial_that_was_killed_as_it_wrote_its_last_records_trains_no_further(
    disk: str, tiny: Path, tmp_path: Path
) -> None:
    words = (
        *("model=logistic", "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer=adam"),
        *("optimizer.lr=0.3,0.5", "trainer.max_epochs=60", PACKED),
    )
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    program = (
        "from copycat.training.recorder import RunRecorder\nRunRecorder.complete = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    run_self_killing_sweep(program + disk, words, data=tiny, at=tmp_path / "killed")
    resume_sweep(tmp_path / "killed" / "sweep", at=tmp_path)
    first = min(range(2), key=lambda number: len(read_training_losses(whole / str(number))))
    name = f"{first}/metrics.csv"
    assert (tmp_path / "killed" / "sweep" / name).read_bytes() == (whole / name).read_bytes()
    assert {trial.status for trial in read_trials(tmp_path / "killed" / "sweep")} == {"completed"}
