"""A pack that was killed or interrupted resumes where it stopped, to the same bits."""

import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.records.trial_file import read_trial, write_trial
from copycat.sweeps.packed.active_trials import ActiveTrials
from copycat.sweeps.packed.loop import Pack
from copycat.sweeps.packed.trainer import PackTrainer
from copycat.sweeps.packed.trial_session import TrialSession
from copycat.training.process_state import isolated
from copycat.training.resume import resume
from tests.support.commands import call_copycat, run_copycat
from tests.support.packs import LONG, PACKED, data_overrides, read_trials, resume_sweep, run_sweep
from tests.support.run_folders import assert_same_bits, read_training_losses


def kill_sweep(words: Sequence[str], *, data: Path, at: Path, epoch: int) -> None:
    """Run a sweep in a process that dies before an epoch, once everything before is saved."""
    run_self_killing_sweep(
        "import copycat.sweeps.packed.loop as packed\n"
        "packed.SAVE_INTERVAL = packed.WRITE_INTERVAL = 0.0\npacked.MAX_SAVING_SHARE = float('inf')\n"
        "epoch = packed.PackTrainer.train_epoch\n"
        "def dying(self, number):\n"
        f"    if number == {epoch}:\n"
        "        for session in self.sessions: session.recorder.writer.wait()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    epoch(self, number)\n"
        "packed.PackTrainer.train_epoch = dying\n",
        words,
        data=data,
        at=at,
    )


def run_self_killing_sweep(program: str, words: Sequence[str], *, data: Path, at: Path) -> None:
    """Run a sweep in a process that is patched to kill itself."""
    at.mkdir(parents=True, exist_ok=True)
    done = run_copycat(*("train", "-m", *data_overrides(data, at), *words), at=at, program=f"import os\n{program}")
    assert done.returncode == -9, done.stderr


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
@pytest.mark.parametrize("epochs", [5, 23, 38], ids=["just after the end", "later", "twice"])
def test_a_pack_of_which_a_trial_had_ended_resumes_to_the_same_bits(epochs: int, tiny: Path, tmp_path: Path) -> None:
    words = (
        *("model=shallow", "model.hidden=[3]", "optimizer=adam", "callbacks=early_stopping", PACKED),
        *("callbacks.early_stopping.patience=2", "trainer.max_epochs=40"),
        "optimizer.lr=0.01,0.011,0.012,0.013,0.014,0.015,0.016,0.9",
    )
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    counts = [len(read_training_losses(whole / str(number))) for number in range(8)]
    assert [*counts[:7], counts[7] < 5] == [40] * 7 + [True]
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=epochs)
    folder = tmp_path / "killed" / "sweep"
    records = {path: path.read_bytes() for path in (folder / "7").rglob("*") if path.is_file()}
    if epochs == 38:
        done = run_copycat("resume", folder, at=tmp_path, program=f"import os\n{DYING_WITH_RECORDS.format(1)}")
        assert done.returncode == -9
    resume_sweep(folder, at=tmp_path)
    for number in map(str, range(7)):
        assert_same_bits(folder / number, whole / number)
    assert {path: path.read_bytes() for path in (folder / "7").rglob("*") if path.is_file()} == records


@pytest.mark.slow
def test_trials_that_diverge_leave_a_pack_at_epochs_that_do_not_depend_on_the_time(tiny: Path, tmp_path: Path) -> None:
    words = ["model=deep", "activation=elu", "optimizer=sgd", "optimizer.lr=0.01,0.02,0.03,0.04,1e30", PACKED]
    words += ["trainer.max_epochs=30", "trainer.check_val_every_n_epoch=5"]
    sweeps = []
    for interval in (0.0, 1e9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("copycat.sweeps.packed.loop.WRITE_INTERVAL", interval)
            patch.setattr("copycat.sweeps.packed.loop.SHRINK_FRACTION", 0.8)
            patch.setattr("copycat.sweeps.packed.loop.MAX_SAVING_SHARE", float("inf"))
            sweeps.append(run_sweep(*words, data=tiny, at=tmp_path / str(interval), status=1))
    assert [trial.status for trial in read_trials(sweeps[0])] == ["completed"] * 4 + ["failed"]
    for number in map(str, range(4)):
        assert_same_bits(sweeps[0] / number, sweeps[1] / number)


def test_a_packed_trial_whose_validation_diverges_fails_as_one_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("model=deep", "activation=elu", "optimizer=sgd", "optimizer.lr=1e30,0.1", "trainer.max_epochs=5")
    packed, alone = (
        run_sweep(*words, *more, data=tiny, at=tmp_path / str(len(more)), status=1) for more in ((PACKED,), ())
    )
    for folder in (packed, alone):
        assert [trial.status for trial in read_trials(folder)] == ["failed", "completed"]
    assert read_trials(packed)[0].error == read_trials(alone)[0].error == "val/loss of epoch 0 is nan"
    assert (packed / "0/metrics.csv").read_bytes() == (alone / "0/metrics.csv").read_bytes()


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
def test_a_resumed_pack_keeps_its_number_of_threads(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("model=logistic", "seed=1,2", "trainer.max_epochs=12", "trainer.threads=null", PACKED)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kill_sweep(words, data=tiny, at=tmp_path, epoch=6)
    threads: list[int] = []
    run = Pack.run

    def counting(pack: Pack) -> None:
        threads.append(torch.get_num_threads())
        run(pack)

    monkeypatch.setattr(Pack, "run", counting)
    monkeypatch.chdir(tmp_path)
    with isolated(threads=2):
        call_copycat("resume", tmp_path / "sweep")
    assert threads == [1]
    assert [trial.status for trial in read_trials(tmp_path / "sweep")] == ["completed"] * 2


@pytest.mark.slow
def test_a_trial_whose_run_has_completed_is_not_run_again(tiny: Path, tmp_path: Path) -> None:
    folder = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path)
    before = read_trial(folder / "1")
    write_trial(folder / "1", replace(before, status="running", objectives={}, ended=None))  # as if killed just then
    written = (folder / "1" / "run.json").stat().st_mtime_ns
    done = run_copycat("resume", folder, at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "process of its own" not in done.stderr
    assert (folder / "1" / "run.json").stat().st_mtime_ns == written
    assert read_trial(folder / "1").objectives == before.objectives


@pytest.mark.slow
def test_one_trial_of_a_killed_pack_can_be_resumed_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "seed=1,2", "trainer.max_epochs=12", PACKED)
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=6)
    outcome = resume(open_run(tmp_path / "killed" / "sweep" / "1"), say=lambda line: None)
    assert outcome.status == "completed"
    assert read_training_losses(outcome.folder) == pytest.approx(read_training_losses(whole / "1"), rel=1e-5)


def interrupt_pack(
    part: type[Any], method: str, monkeypatch: pytest.MonkeyPatch, *, epoch: int | None, sleeps: float = 0.0
) -> None:
    """Send Ctrl-C after a method of a part of a pack has run, with this epoch unless it is None; and delay the pack."""
    run = getattr(part, method)

    def then_ends(self: Any, *args: Any, **more: Any) -> Any:
        found = run(self, *args, **more)
        if epoch in (None, args[0]):
            monkeypatch.setattr(part, method, run)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(sleeps)
        return found

    monkeypatch.setattr(part, method, then_ends)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "method"), [(PackTrainer, "train_epoch"), (Pack, "_end_epoch")])
def test_an_interrupted_pack_resumes_to_the_same_bits(
    part: type[Any], method: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_pack(part, method, patch, epoch=5)
        folder = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path, status=130)
    assert {read_manifest(folder / str(number))["status"] for number in range(2)} == {"interrupted"}
    resume_sweep(folder, at=tmp_path)
    for number in range(2):
        assert read_manifest(folder / str(number))["resumed"][0]["epoch"] in (6, 7)
        assert_same_bits(folder / str(number), whole / str(number))


@pytest.mark.slow
def test_a_pack_in_a_long_epoch_is_interrupted_at_its_last_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.training.signals.GRACE_SECONDS", 0.2)
    interrupt_pack(PackTrainer, "train_epoch", monkeypatch, epoch=5, sleeps=30.0)
    folder = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path, status=130)
    assert {read_manifest(folder / str(number))["status"] for number in range(2)} == {"interrupted"}
    assert {trial.status for trial in read_trials(folder)} == {"running"}
    resume_sweep(folder, at=tmp_path)
    assert {trial.status for trial in read_trials(folder)} == {"completed"}
    assert all(len(read_training_losses(folder / str(number))) == 12 for number in range(2))


@pytest.mark.slow
def test_a_signal_that_waits_too_long_for_final_weights_fails_no_trial(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.training.signals.GRACE_SECONDS", 0.2)
    measure = TrialSession._measure

    def slow(session: TrialSession) -> None:
        monkeypatch.setattr(TrialSession, "_measure", measure)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr(TrialSession, "_measure", slow)
    folder = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path, status=130)
    assert {read_manifest(folder / str(number))["status"] for number in range(2)} == {"interrupted"}
    resume_sweep(folder, at=tmp_path)
    assert {trial.status for trial in read_trials(folder)} == {"completed"}


@pytest.mark.slow
@pytest.mark.parametrize("begun", [1, 3])
def test_a_pack_that_stopped_before_all_its_trials_were_begun_ends_with_the_same_bits(
    begun: int, tiny: Path, tmp_path: Path
) -> None:
    words = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "seed=1,2,3,4", "trainer.max_epochs=300", PACKED)
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    dying = (
        "from pathlib import Path\nfrom copycat.sweeps.packed.trial_session import TrialSession\n"
        "def dying(self, device):\n"
        f"    for number in range({begun}, 4): Path(f'sweep/{{number}}/run.json').unlink()\n"
        "    os.kill(os.getpid(), 9)\n"
        "TrialSession.restore = dying\n"
    )
    run_self_killing_sweep(dying, words, data=tiny, at=tmp_path / "killed")
    resume_sweep(tmp_path / "killed" / "sweep", at=tmp_path)
    for number in range(4):
        assert_same_bits(tmp_path / "killed" / "sweep" / str(number), whole / str(number))


@pytest.mark.slow
def test_trials_of_a_waiting_pack_do_not_count_as_started(tiny: Path, tmp_path: Path) -> None:
    words = (*LONG, "seed=1,2,3,4", "hydra.launcher.max_trials_per_pack=2")
    kill_sweep(words, data=tiny, at=tmp_path, epoch=3)
    assert [trial.attempts for trial in read_trials(tmp_path / "sweep")] == [1, 1, 0, 0]


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


@pytest.mark.slow
def test_a_pack_does_not_resume_with_changed_images(tiny: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tiny, tmp_path / "data")
    kill_sweep((*LONG, "seed=1,2"), data=data, at=tmp_path, epoch=6)
    shutil.copy(data / "train" / "cat" / "1.png", data / "train" / "cat" / "0.png")
    done = run_copycat("resume", tmp_path / "sweep", at=tmp_path)
    assert done.returncode == 1
    for trial in read_trials(tmp_path / "sweep"):
        assert "expected the data that the run began with; 1 image differs: train: train/cat/0.png" in str(trial.error)


@pytest.mark.slow
def test_a_signal_at_the_end_of_a_pack_prevents_the_next_one(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_pack(ActiveTrials, "end", monkeypatch, epoch=None)
    folder = run_sweep(
        *LONG, "seed=1,2,3,4", "hydra.launcher.max_trials_per_pack=2", data=tiny, at=tmp_path, status=130
    )
    assert [trial.status for trial in read_trials(folder)] == ["completed", "completed", "running", "running"]
    assert not (folder / "2" / "run.json").exists()
    resume_sweep(folder, at=tmp_path)
    assert {trial.status for trial in read_trials(folder)} == {"completed"}
