"""Trials in a pack agree with single runs up to rounding, and a repeated pack gives the same bits."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from copycat.cli import main
from copycat.config.compose import compose
from copycat.models.losses import BCE
from copycat.records.digests import changed_files
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.records.trial_file import Trial, read_trial, write_trial
from copycat.sweeps.packed.eligibility import why_not_packable
from copycat.sweeps.packed.loop import Pack
from copycat.sweeps.packed.trial import TrialSession
from copycat.training.factory import build_components
from copycat.training.process_state import isolated
from copycat.training.progress import Position
from copycat.training.resume import resume
from tests.support.commands import run_copycat
from tests.support.parameters import mark_slow
from tests.support.run_folders import read_training_losses

PACKED = "hydra/launcher=packed"


@pytest.fixture(autouse=True)
def _replays_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture steps early, since these trials are short."""
    monkeypatch.setattr("copycat.sweeps.packed.stacked_network.CAPTURE_AFTER", 2)


def run_sweep(*words: str, data: Path, at: Path, status: int = 0) -> Path:
    """Run a sweep in this process and return its folder; its output is in said.txt."""
    at.mkdir(parents=True, exist_ok=True)
    said = StringIO()
    with pytest.MonkeyPatch.context() as here, redirect_stdout(said), redirect_stderr(said):
        here.chdir(at)
        with pytest.raises(SystemExit) as ended:
            main(["train", "-m", *data_overrides(data, at), *words])
    (at / "said.txt").write_text(said.getvalue())
    assert ended.value.code == status, said.getvalue()
    return at / "sweep"


def data_overrides(data: Path, at: Path) -> list[str]:
    return ["data=folder", f"data.root={data}", "data.image_size=8", "trainer.threads=1", f"sweep.folder={at}/sweep"]


def read_trials(folder: Path) -> list[Trial]:
    return [read_trial(folder / str(number)) for number in range(len(list(folder.glob("*/trial.json"))))]


def pack_of(folder: Path) -> Any:
    return read_manifest(folder)["provenance"].get("pack")


JOBS: Mapping[str, Sequence[str]] = {
    "logistic": ("model=logistic", "optimizer=sgd", "optimizer.lr=1e-3,1e-2,3e-2"),
    "shallow": ("model=shallow", "model.hidden=[3]", "optimizer=adam", "optimizer.lr=1e-3,3e-3", "seed=1,2"),
    "deep": ("model=deep", "model.hidden=[6,5,4]", "optimizer=adamw", "optimizer.weight_decay=0.0,0.1", "seed=1,2"),
    "rmsprop": ("model=shallow", "model.hidden=[3]", "optimizer=rmsprop", "optimizer.lr=1e-4,1e-3"),
    "momentum": ("model=shallow", "model.hidden=[3]", "optimizer=momentum", "optimizer.momentum=0.5,0.9"),
    "cnn": ("model=cnn", "model.channels=[4,6]", "optimizer=adam", "optimizer.lr=1e-3", "seed=1,2,3"),
    "batches": (
        *("model=cnn", "model.channels=[4]", "optimizer=sgd", "optimizer.lr=0.01", "seed=1,2"),
        *("data.batch_size=5", "data.shuffle=true", "augmentation=light", "trainer.accumulate_grad_batches=2"),
    ),
    "schedule": ("model=logistic", "scheduler=cosine", "scheduler.interval=step", "optimizer.lr=0.01,0.1"),
    "clipped": ("model=logistic", "trainer.gradient_clip_val=0.01", "optimizer.lr=0.1,1"),
    "folds": ("model=logistic", "data.folds=2", "data.fold=0,1", "optimizer.lr=0.01"),
    "weights": ("model=logistic", "loss.weight=[1.0,2.0],[1.0,0.5]", "optimizer.lr=0.01"),
    "classes": ("model=shallow", "model.hidden=[3]", "loss=cross_entropy", "optimizer.lr=0.01,0.1"),
    "plateau": ("model=logistic", "scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.1,1"),
}


@pytest.mark.parametrize("job", mark_slow(JOBS, fast=["cnn"]))
def test_each_trial_of_a_pack_agrees_with_the_same_trial_alone(job: str, tiny: Path, tmp_path: Path) -> None:
    words = [*JOBS[job], "trainer.max_epochs=40", "trainer.check_val_every_n_epoch=5"]
    packed = run_sweep(*words, PACKED, data=tiny, at=tmp_path / "packed")
    alone = run_sweep(*words, data=tiny, at=tmp_path / "alone")
    count = len(read_trials(packed))
    assert count == len(read_trials(alone)) > 1
    for number in range(count):
        mine, other = packed / str(number), alone / str(number)
        assert sorted(pack_of(mine)) == list(range(count))
        assert read_training_losses(mine) == pytest.approx(read_training_losses(other), rel=1e-5)
        assert (mine / "config.yaml").read_bytes() == (other / "config.yaml").read_bytes()
        a, b = (read_manifest(folder) for folder in (mine, other))
        assert a["results"]["final"] == pytest.approx(b["results"]["final"], rel=1e-4, abs=1e-6)
        assert a["results"]["steps"] == b["results"]["steps"]
        assert a["results"]["best"]["epoch"] == b["results"]["best"]["epoch"]
        names = [{str(p.relative_to(at)) for p in at.rglob("*") if "tfevents" not in p.name} for at in (mine, other)]
        assert names[0] == names[1]
        assert [set(row) for row in read_history(mine)] == [set(row) for row in read_history(other)]
        weights = [load_file(folder / "weights.safetensors") for folder in (mine, other)]
        for name, tensor in weights[0].items():
            assert torch.allclose(tensor, weights[1][name], rtol=1e-3, atol=1e-4)


STOPS_THEN_BEST = (
    "callbacks=none",
    "+callbacks.stops._target_=pytorch_lightning.callbacks.EarlyStopping",
    *("+callbacks.stops.monitor=val/accuracy", "+callbacks.stops.mode=max", "+callbacks.stops.patience=30"),
    "+callbacks.best._target_=copycat.training.checkpoints.BestCheckpoint",
    *("+callbacks.best.dirpath='{run}/checkpoints'", "+callbacks.best.monitor=val/loss", "+callbacks.best.mode=min"),
)


def test_early_stopping_before_the_best_checkpoint_does_not_choose_its_metric(tiny: Path, tmp_path: Path) -> None:
    words = ["model=logistic", "optimizer.lr=1e-3,0.3", "trainer.max_epochs=20", "logger=none", *STOPS_THEN_BEST]
    packed = run_sweep(*words, PACKED, data=tiny, at=tmp_path / "packed")
    alone = run_sweep(*words, data=tiny, at=tmp_path / "alone")
    for number in range(2):
        assert pack_of(packed / str(number)) == [0, 1]
        a, b = (read_manifest(at / str(number))["results"]["best"] for at in (packed, alone))
        assert (a["monitor"], a["mode"], a["epoch"]) == (b["monitor"], b["mode"], b["epoch"])
        assert (a["monitor"], a["mode"]) == ("val/loss", "min")
        trials = [read_trial(at / str(number)) for at in (packed, alone)]
        assert trials[0].objectives == pytest.approx(trials[1].objectives, rel=1e-5)


@pytest.mark.slow
def test_trials_with_different_label_smoothing_form_separate_packs_and_validate_on_true_labels(
    tiny: Path, tmp_path: Path
) -> None:
    words = ["loss.label_smoothing=0.0,0.3", "optimizer.lr=0.01,0.1", "trainer.max_epochs=6"]
    words += ["callbacks=none", "logger=none"]
    packed = run_sweep(*words, PACKED, data=tiny, at=tmp_path / "packed")
    alone = run_sweep(*words, data=tiny, at=tmp_path / "alone")
    for number in range(4):
        assert {number} <= set(pack_of(packed / str(number))) <= ({0, 1} if number < 2 else {2, 3})
        for name in ("train/loss", "val/loss"):
            rows = [[row[name] for row in read_history(at / str(number))] for at in (packed, alone)]
            assert rows[0] == pytest.approx(rows[1], rel=1e-5)


def test_a_repeated_pack_gives_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[4]", "optimizer=adam", "seed=1,2,3", "trainer.max_epochs=12", PACKED)
    first, again = (run_sweep(*words, data=tiny, at=tmp_path / name) for name in "ab")
    for number in range(3):
        for name in ("metrics.csv", "weights.safetensors"):
            assert (first / str(number) / name).read_bytes() == (again / str(number) / name).read_bytes()
        digests = read_manifest(first / str(number))["files"]
        assert "train.log" in digests
        assert list(changed_files(first / str(number), digests)) == []


@pytest.mark.slow
def test_trials_that_cannot_be_packed_run_in_processes_with_a_reason(tiny: Path, tmp_path: Path) -> None:
    words = ("optimizer=sgd,lbfgs", "model=logistic", "seed=1,2", "trainer.max_epochs=3", PACKED)
    folder = run_sweep(*words, data=tiny, at=tmp_path)
    assert [trial.status for trial in read_trials(folder)] == ["completed"] * 4
    packs = {trial.number: pack_of(folder / str(trial.number)) for trial in read_trials(folder)}
    with_sgd = [t.number for t in read_trials(folder) if "optimizer=sgd" in t.overrides]
    assert {number for number, pack in packs.items() if pack} == set(with_sgd)
    assert "LBFGS evaluates the loss again and again" in (tmp_path / "said.txt").read_text()


def test_trials_with_mixing_augmentations_are_not_packed(tiny: Path) -> None:
    config = compose([*data_overrides(tiny, tiny)[:-1], "augmentation=cutmix"]).config
    assert why_not_packable(config, build_components(config)) == "an augmentation that mixes images"


@pytest.mark.slow
def test_networks_of_two_shapes_form_packs_of_the_requested_size(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "model.hidden=[2],[3]", "seed=range(3)", "trainer.max_epochs=3", PACKED)
    folder = run_sweep(*words, "hydra.launcher.max_trials_per_pack=2", data=tiny, at=tmp_path)
    found = {tuple(pack_of(folder / str(number))) for number in range(6)}
    assert sorted(len(pack) for pack in found) == [1, 1, 2, 2]


def test_a_trial_that_diverges_does_not_change_the_others(tiny: Path, tmp_path: Path) -> None:
    words = ("model=linear", "optimizer=sgd", "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=5", PACKED)
    folder = run_sweep(*words, "optimizer.lr=1e-4,1e-3,1e9,2e9", data=tiny, at=tmp_path / "a", status=1)
    healthy = run_sweep(*words, "optimizer.lr=1e-4,1e-3", data=tiny, at=tmp_path / "b")
    assert [trial.status for trial in read_trials(folder)] == ["completed", "completed", "failed", "failed"]
    assert "the loss of epoch" in str(read_trials(folder)[2].error)
    for number in range(2):
        assert read_training_losses(folder / str(number)) == pytest.approx(
            read_training_losses(healthy / str(number)), rel=1e-5
        )


@pytest.mark.slow
def test_trials_whose_loss_becomes_nan_fail_and_the_others_continue(tiny: Path, tmp_path: Path) -> None:
    words = ("model=deep", "model.hidden=[4,3]", "optimizer=adamw", "loss=bce", "trainer.max_epochs=20", PACKED)
    folder = run_sweep(*words, "optimizer.lr=1e30,1e-3", data=tiny, at=tmp_path / "a", status=1)
    assert [trial.status for trial in read_trials(folder)] == ["failed", "completed"]
    assert "the loss of epoch" in str(read_trials(folder)[0].error)
    healthy = run_sweep(*words, "optimizer.lr=1e-3", data=tiny, at=tmp_path / "b")
    assert read_training_losses(folder / "1") == pytest.approx(read_training_losses(healthy / "0"), rel=1e-5)


class Refuses(BCE):
    """Represent a custom loss that fails."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        raise RuntimeError("I refuse")


def test_a_loss_that_fails_fails_each_trial_of_its_pack_and_no_other(tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=3", "seed=1,2", f"loss._target_=copycat.models.losses.BCE,{__name__}.Refuses", PACKED)
    folder = run_sweep(*words, data=tiny, at=tmp_path, status=1)
    found = {trial.number: (trial.status, str(trial.error)) for trial in read_trials(folder)}
    failed = [said for status, said in found.values() if status == "failed"]
    assert len(failed) == 2
    assert all("I refuse" in said for said in failed)
    assert sum(status == "completed" for status, _ in found.values()) == 2


@pytest.mark.slow
def test_early_stopping_ends_each_trial_where_it_ends_alone(tiny: Path, tmp_path: Path) -> None:
    words = (
        *("model=shallow", "model.hidden=[3]", "callbacks=early_stopping", "callbacks.early_stopping.patience=1"),
        *("optimizer=adam", "optimizer.lr=1e-3,0.1,0.3,0.5", "trainer.max_epochs=40"),
    )
    packed, alone = (
        run_sweep(*words, PACKED, data=tiny, at=tmp_path / "a"),
        run_sweep(*words, data=tiny, at=tmp_path / "b"),
    )
    epochs = [[len(read_training_losses(at / str(number))) for number in range(4)] for at in (packed, alone)]
    assert epochs[0] == epochs[1]
    assert len(set(epochs[0])) > 1
    for number in range(4):
        assert read_training_losses(packed / str(number)) == pytest.approx(
            read_training_losses(alone / str(number)), rel=1e-4
        )


class SlowDisk(ThreadPoolExecutor):
    """Write with a delay."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        def late() -> Any:
            time.sleep(0.3)
            return call(*args, **more)

        return super().submit(late)


@pytest.mark.slow
def test_a_trial_that_leaves_early_keeps_its_weights(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.sweeps.packed.launcher.ThreadPoolExecutor", SlowDisk)
    words = (
        *("model=cnn", "model.channels=[4]", "callbacks=early_stopping", "callbacks.early_stopping.patience=1"),
        *("optimizer=adam", "optimizer.lr=1e-4,2e-4,3e-4,4e-4,5e-4,0.5", "trainer.max_epochs=60"),
    )
    folder = run_sweep(*words, PACKED, data=tiny, at=tmp_path)
    epochs = {number: len(read_training_losses(folder / str(number))) for number in range(6)}
    assert epochs.pop(5) < min(epochs.values())  # while most of the pack goes on
    for number in range(6):
        measured = torch.load(folder / str(number) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        written = load_file(folder / str(number) / "weights.safetensors")
        assert all(torch.equal(weight, measured[f"network.{name}"]) for name, weight in written.items())


@pytest.mark.slow
def test_successive_halving_inside_a_pack_is_one_line(tiny: Path, tmp_path: Path) -> None:
    words = ("hydra/sweeper=optuna", "hydra/sweeper/pruner=halving", "hydra.sweeper.n_trials=12", PACKED)
    folder = run_sweep(
        *words, "optimizer.lr=tag(log,interval(1e-4,1))", "trainer.max_epochs=20", data=tiny, at=tmp_path
    )
    found = read_trials(folder)
    assert len(found) == 12
    assert {trial.status for trial in found} == {"completed", "pruned"}
    lengths = {trial.status: [] for trial in found}  # type: ignore[var-annotated]
    for trial in found:
        lengths[trial.status].append(len(read_training_losses(folder / str(trial.number))))
        assert len(pack_of(folder / str(trial.number))) == 12
    assert set(lengths["completed"]) == {20}
    assert max(lengths["pruned"]) < 20


@pytest.mark.slow
def test_a_packed_trial_can_be_resumed_rerun_and_predicted_with(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "seed=1,2", "trainer.max_epochs=8", PACKED)
    folder = run_sweep(*words, data=tiny, at=tmp_path)
    said = run_copycat("rerun", folder / "1", "--tolerance", "1e-4", at=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "pack" in said.stdout + said.stderr
    image = next((tiny / "val" / "cat").iterdir())
    shown = run_copycat("predict", folder / "1", image, "--json", at=tmp_path)
    assert json.loads(shown.stdout)
    checkpoint = torch.load(folder / "1" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["network.layers.0.weight"].untyped_storage().nbytes() == 3 * 192 * 4


def kill_sweep(words: Sequence[str], *, data: Path, at: Path, epoch: int) -> None:
    """Run a sweep in a process that dies before an epoch, once everything before is saved."""
    run_self_killing_sweep(
        "import copycat.sweeps.packed.loop as packed\n"
        "packed.SAVE_INTERVAL = packed.WRITE_INTERVAL = 0.0\npacked.MAX_SAVING_SHARE = float('inf')\n"
        "epoch = packed.Pack._train_epoch\n"
        "def dying(self, number):\n"
        f"    if number == {epoch}:\n"
        "        for session in self.sessions: session.writer.wait()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    epoch(self, number)\n"
        "packed.Pack._train_epoch = dying\n",
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
        for name in ("metrics.csv", "weights.safetensors"):
            assert (folder / str(number) / name).read_bytes() == (whole / str(number) / name).read_bytes()


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
    with isolated(threads=2), pytest.raises(SystemExit):
        main(["resume", str(tmp_path / "sweep")])
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


LONG = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "trainer.max_epochs=12", PACKED)


def interrupt_pack(method: str, monkeypatch: pytest.MonkeyPatch, *, epoch: int = 0, sleeps: float = 0.0) -> None:
    """Send Ctrl-C after a method of a pack has run with this epoch, and delay the pack."""
    run = getattr(Pack, method)

    def then_ends(pack: Pack, *args: Any, **more: Any) -> Any:
        found = run(pack, *args, **more)
        if method == "_end_trials" or args[0] == epoch:
            monkeypatch.setattr(Pack, method, run)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(sleeps)
        return found

    monkeypatch.setattr(Pack, method, then_ends)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["_train_epoch", "_end_epoch"])
def test_an_interrupted_pack_resumes_to_the_same_bits(
    method: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_pack(method, patch, epoch=5)
        folder = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path, status=130)
    assert {read_manifest(folder / str(number))["status"] for number in range(2)} == {"interrupted"}
    resume_sweep(folder, at=tmp_path)
    for number in range(2):
        assert read_manifest(folder / str(number))["resumed"][0]["epoch"] in (6, 7)
        for name in ("metrics.csv", "weights.safetensors"):
            assert (folder / str(number) / name).read_bytes() == (whole / str(number) / name).read_bytes()


def resume_sweep(folder: Path, *, at: Path) -> None:
    done = run_copycat("resume", folder, at=at)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_pack_in_a_long_epoch_is_interrupted_at_its_last_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.training.signals.GRACE_SECONDS", 0.2)
    interrupt_pack("_train_epoch", monkeypatch, epoch=5, sleeps=30.0)
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

    def slow(session: TrialSession, position: Position) -> None:
        monkeypatch.setattr(TrialSession, "_measure", measure)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr(TrialSession, "_measure", slow)
    folder = run_sweep(*LONG, "seed=1,2", data=tiny, at=tmp_path, status=130)
    assert {read_manifest(folder / str(number))["status"] for number in range(2)} == {"interrupted"}
    resume_sweep(folder, at=tmp_path)
    assert {trial.status for trial in read_trials(folder)} == {"completed"}


@pytest.mark.slow
def test_trials_of_a_waiting_pack_do_not_count_as_started(tiny: Path, tmp_path: Path) -> None:
    words = (*LONG, "seed=1,2,3,4", "hydra.launcher.max_trials_per_pack=2")
    kill_sweep(words, data=tiny, at=tmp_path, epoch=3)
    assert [trial.attempts for trial in read_trials(tmp_path / "sweep")] == [1, 1, 0, 0]


@pytest.mark.slow
def test_a_trial_that_was_killed_as_it_wrote_its_last_records_trains_no_further(tiny: Path, tmp_path: Path) -> None:
    words = (
        *("model=logistic", "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer=adam"),
        *("optimizer.lr=0.3,0.5", "trainer.max_epochs=60", PACKED),
    )
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    program = (
        "from copycat.training.recorder import RunRecorder\nRunRecorder.complete = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    run_self_killing_sweep(program, words, data=tiny, at=tmp_path / "killed")
    resume_sweep(tmp_path / "killed" / "sweep", at=tmp_path)
    first = min(range(2), key=lambda number: len(read_training_losses(whole / str(number))))
    name = f"{first}/metrics.csv"
    assert (tmp_path / "killed" / "sweep" / name).read_bytes() == (whole / name).read_bytes()
    assert {trial.status for trial in read_trials(tmp_path / "killed" / "sweep")} == {"completed"}


@pytest.mark.slow
def test_measuring_a_pack_leaves_the_first_trial_as_it_was(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[4]", "model.batch_norm=true", "optimizer=sgd", "trainer.max_epochs=2")
    packed = run_sweep(*words, "seed=1,2", PACKED, data=tiny, at=tmp_path / "packed")
    alone = run_sweep(*words, "seed=1", data=tiny, at=tmp_path / "alone")
    mine, other = (load_file(folder / "0" / "weights.safetensors") for folder in (packed, alone))
    assert any(name.endswith("running_mean") for name in mine)
    for name, tensor in mine.items():
        assert torch.allclose(tensor, other[name], rtol=1e-3, atol=1e-5), name


@pytest.mark.slow
def test_a_missing_folder_fails_its_own_trial_alone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Pack._end_trials

    def bereft(pack: Pack, *args: Any) -> None:
        shutil.rmtree(pack.sessions[0].folder, ignore_errors=True)
        leave(pack, *args)

    monkeypatch.setattr(Pack, "_end_trials", bereft)
    folder = run_sweep(*LONG, "seed=1,2,3", data=tiny, at=tmp_path, status=1)
    assert sorted(trial.status for trial in read_trials(folder)) == ["completed", "completed", "failed"]


def test_a_pack_that_cannot_start_fails_its_trials_and_not_the_sweep(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = TrialSession.restore

    def full(session: TrialSession, device: torch.device) -> None:
        if session.trial.job.number == 1:
            raise MemoryError("out of memory")
        restore(session, device)

    monkeypatch.setattr(TrialSession, "restore", full)
    folder = run_sweep(*LONG, "seed=1,2,3,4", "hydra.launcher.max_trials_per_pack=2", data=tiny, at=tmp_path, status=1)
    assert [trial.status for trial in read_trials(folder)] == ["failed", "failed", "completed", "completed"]
    assert "out of memory" in str(read_trial(folder / "0").error)
    assert read_manifest(folder / "0")["status"] == "failed"


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
def test_a_failed_trial_has_the_best_checkpoint_of_its_record(tiny: Path, tmp_path: Path) -> None:
    words = ("model=linear", "optimizer=sgd", "optimizer.lr=1e-3,1e9", "trainer.max_epochs=60")
    folder = run_sweep(*words, PACKED, data=tiny, at=tmp_path, status=1)
    assert [trial.status for trial in read_trials(folder)] == ["completed", "failed"]
    best = read_manifest(folder / "1")["results"]["best"]
    found = torch.load(folder / "1" / "checkpoints" / "best.ckpt", weights_only=True)
    assert found["epoch"] == best["epoch"] + 1


def test_a_sweep_stops_between_packs_after_max_failures(tiny: Path, tmp_path: Path) -> None:
    words = (
        f"loss._target_={__name__}.Refuses",
        "sweep.max_failures=2",
        "hydra.launcher.max_trials_per_pack=2",
        "seed=range(6)",
    )
    folder = run_sweep(*words, "trainer.max_epochs=2", PACKED, data=tiny, at=tmp_path, status=1)
    assert sum(trial.status == "failed" for trial in read_trials(folder)) == 2


@pytest.mark.slow
def test_a_signal_at_the_end_of_a_pack_prevents_the_next_one(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_pack("_end_trials", monkeypatch)
    folder = run_sweep(
        *LONG, "seed=1,2,3,4", "hydra.launcher.max_trials_per_pack=2", data=tiny, at=tmp_path, status=130
    )
    assert [trial.status for trial in read_trials(folder)] == ["completed", "completed", "running", "running"]
    assert not (folder / "2" / "run.json").exists()
    resume_sweep(folder, at=tmp_path)
    assert {trial.status for trial in read_trials(folder)} == {"completed"}


class Halves(nn.Module):
    """Represent a custom network that weights two halves of an image separately."""

    def __init__(self, *, in_features: int, out_features: int, **others: Any) -> None:
        super().__init__()
        self.middle = in_features // 2
        self.left, self.right = nn.Linear(self.middle, out_features), nn.Linear(in_features - self.middle, out_features)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.flatten(1)[:, : self.middle], x.flatten(1)[:, self.middle :]
        logits: Tensor = self.left(left) + self.right(right).tanh()
        return logits


class Chooses(Halves):
    """Branch on the brightness of images, which torch.func cannot batch over trials."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits if logits.mean() > 0 else 2 * logits


@pytest.mark.slow
def test_a_custom_network_is_packed_if_torch_can_batch_it(tiny: Path, tmp_path: Path) -> None:
    words = ("seed=1,2", "trainer.max_epochs=5", f"model._target_={__name__}.Halves")
    packed, alone = (
        run_sweep(*words, PACKED, data=tiny, at=tmp_path / "a"),
        run_sweep(*words, data=tiny, at=tmp_path / "b"),
    )
    for number in range(2):
        assert pack_of(packed / str(number)) == [0, 1]
        assert read_training_losses(packed / str(number)) == pytest.approx(
            read_training_losses(alone / str(number)), rel=1e-5
        )


@pytest.mark.slow
def test_a_network_that_torch_cannot_batch_is_reported(tiny: Path, tmp_path: Path) -> None:
    words = ("seed=1,2", "trainer.max_epochs=2", f"model._target_={__name__}.Chooses")
    folder = run_sweep(*words, PACKED, data=tiny, at=tmp_path)
    assert [trial.status for trial in read_trials(folder)] == ["completed"] * 2
    assert pack_of(folder / "0") is None
    assert "torch.func cannot batch Chooses" in (tmp_path / "said.txt").read_text()
