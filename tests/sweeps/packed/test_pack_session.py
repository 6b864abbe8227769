"""A pack that was killed or interrupted resumes where it stopped, to the same bits."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import read_trial, write_trial
from copycat.sweeps.packed.active_trials import ActiveTrials
from copycat.sweeps.packed.loop import Pack
from copycat.sweeps.packed.trainer import PackTrainer
from copycat.sweeps.packed.trial_session import TrialSession
from copycat.training.process_state import isolated
from tests.support.commands import call_copycat, run_copycat
from tests.support.packs import LONG, PACKED, kill_sweep, read_trials, resume_sweep, run_self_killing_sweep, run_sweep
from tests.support.run_folders import assert_same_bits, read_training_losses


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


def test_a_pack_trains_in_a_job_of_several_tasks(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "1", "JOB_NAME": "job", "NTASKS": "4", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    folder = run_sweep("model=logistic", "seed=1,2", "trainer.max_epochs=1", PACKED, data=tiny, at=tmp_path)
    assert [trial.status for trial in read_trials(folder)] == ["completed"] * 2


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
