"""Each trial of a pack ends at its own time, and changes no other."""

import csv
import pkgutil
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from copycat.models.losses import BCE
from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import read_trial
from copycat.sweeps.packed.active_trials import ActiveTrials
from tests.support.packs import LONG, PACKED, assert_losses_agree, pack_of, read_trials, run_sweep
from tests.support.run_folders import assert_same_bits, read_training_losses
from tests.support.tensorboard import read_scalars


def test_a_trial_that_diverges_does_not_change_the_others(tiny: Path, tmp_path: Path) -> None:
    words = ("model=linear", "optimizer=sgd", "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=5", PACKED)
    folder = run_sweep(*words, "optimizer.lr=1e-4,1e-3,1e9,2e9", data=tiny, at=tmp_path / "a", status=1)
    healthy = run_sweep(*words, "optimizer.lr=1e-4,1e-3", data=tiny, at=tmp_path / "b")
    assert [trial.status for trial in read_trials(folder)] == ["completed", "completed", "failed", "failed"]
    assert "the loss of epoch" in str(read_trials(folder)[2].error)
    assert_losses_agree(folder, healthy, range(2))


@pytest.mark.slow
def test_trials_whose_loss_becomes_nan_fail_and_the_others_continue(tiny: Path, tmp_path: Path) -> None:
    words = ("model=deep", "model.hidden=[4,3]", "optimizer=adamw", "loss=bce", "trainer.max_epochs=20", PACKED)
    folder = run_sweep(*words, "optimizer.lr=1e30,1e-3", data=tiny, at=tmp_path / "a", status=1)
    assert [trial.status for trial in read_trials(folder)] == ["failed", "completed"]
    assert str(read_trials(folder)[0].error) == "val/loss of epoch 1 is nan"
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
    failed = [error for status, error in found.values() if status == "failed"]
    assert len(failed) == 2
    assert all("I refuse" in error for error in failed)
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
    assert_losses_agree(packed, alone, range(4), rel=1e-4)


def test_the_best_checkpoint_has_the_state_that_early_stopping_has_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("callbacks=[default,early_stopping]", "optimizer=adam", "optimizer.lr=0.3,0.5", "trainer.max_epochs=20")
    packed, alone = (
        run_sweep(*words, *more, data=tiny, at=tmp_path / name) for name, more in {"a": [PACKED], "b": []}.items()
    )
    for number in map(str, range(2)):
        of_pack, of_run = (
            torch.load(at / number / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
            for at in (packed, alone)
        )
        key = next(key for key in of_run if key.startswith("EarlyStopping"))
        best = of_pack[key].pop("best_score"), of_run[key].pop("best_score")
        torch.testing.assert_close(*best, rtol=1e-4, atol=0)
        assert of_pack[key] == of_run[key]


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
    monkeypatch.setattr("copycat.sweeps.packed.pack_session.ThreadPoolExecutor", SlowDisk)
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
def test_a_missing_folder_fails_its_own_trial_alone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = ActiveTrials.end

    def bereft(trials: ActiveTrials, *args: Any) -> None:
        shutil.rmtree(trials.first.folder, ignore_errors=True)
        end(trials, *args)

    monkeypatch.setattr(ActiveTrials, "end", bereft)
    folder = run_sweep(*LONG, "seed=1,2,3", data=tiny, at=tmp_path, status=1)
    assert sorted(trial.status for trial in read_trials(folder)) == ["completed", "completed", "failed"]


@pytest.mark.parametrize(
    "part", ["trial_session.TrialSession.restore", "pack_session._initial_loops", "pack_session.choose_device"]
)
def test_a_pack_that_cannot_start_fails_its_trials_and_not_the_sweep(
    part: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"copycat.sweeps.packed.{part}"
    original = pkgutil.resolve_name(name)
    calls: list[Any] = []

    def first_fails(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise MemoryError("out of memory")
        return original(*arguments)

    monkeypatch.setattr(name, first_fails)
    folder = run_sweep(*LONG, "seed=1,2,3,4", "hydra.launcher.max_trials_per_pack=2", data=tiny, at=tmp_path, status=1)
    assert [trial.status for trial in read_trials(folder)] == ["failed", "failed", "completed", "completed"]
    assert "out of memory" in str(read_trial(folder / "0").error)
    assert read_manifest(folder / "0")["status"] == "failed"


@pytest.mark.slow
def test_a_failed_trial_has_the_best_checkpoint_of_its_record(tiny: Path, tmp_path: Path) -> None:
    words = ("model=linear", "optimizer=sgd", "optimizer.lr=1e-3,1e9", "trainer.max_epochs=60")
    folder = run_sweep(*words, PACKED, data=tiny, at=tmp_path, status=1)
    assert [trial.status for trial in read_trials(folder)] == ["completed", "failed"]
    best = read_manifest(folder / "1")["results"]["best"]
    found = torch.load(folder / "1" / "checkpoints" / "best.ckpt", weights_only=True)
    assert found["epoch"] == best["epoch"] + 1


def test_a_sweep_stops_between_packs_after_max_failures(tiny: Path, tmp_path: Path) -> None:
    words = ("model=deep", "activation=elu", "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=5")
    limits = ("sweep.max_failures=2", "hydra.launcher.max_trials_per_pack=2", "seed=range(6)")
    folder = run_sweep(*words, *limits, PACKED, data=tiny, at=tmp_path, status=1)
    assert sum(trial.status == "failed" for trial in read_trials(folder)) == 2


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


@pytest.mark.parametrize("word", [PACKED, "trainer.steps_per_execution=null", "trainer.steps_per_execution=1"])
def test_a_failed_trial_has_statistics_of_the_epochs_before_it_failed(word: str, tiny: Path, tmp_path: Path) -> None:
    words = (
        "model=linear",
        "optimizer=sgd",
        "optimizer.lr=1e9,1e-4",
        "trainer.max_epochs=9",
        "logger=[tensorboard,csv]",
    )
    folder = run_sweep(*words, word, "trainer.check_val_every_n_epoch=5", data=tiny, at=tmp_path, status=1) / "0"
    epochs = len(read_training_losses(folder))
    assert 0 < epochs < 5
    scalars = read_scalars(folder / "tensorboard")
    assert [step for step, _ in scalars["optimizer/weight_norm"]] == [*range(epochs)]
    with (folder / "csv/metrics.csv").open() as file:
        rates = [row["optimizer/weight_norm"] for row in csv.DictReader(file)]
    assert [*map(float, rates)] == pytest.approx([value for _, value in scalars["optimizer/weight_norm"]])


def test_a_packed_trial_whose_validation_diverges_fails_as_one_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("model=deep", "activation=elu", "optimizer=sgd", "optimizer.lr=1e30,0.1", "trainer.max_epochs=5")
    packed, alone = (
        run_sweep(*words, *more, data=tiny, at=tmp_path / str(len(more)), status=1) for more in ((PACKED,), ())
    )
    for folder in (packed, alone):
        assert [trial.status for trial in read_trials(folder)] == ["failed", "completed"]
    assert read_trials(packed)[0].error == read_trials(alone)[0].error == "val/loss of epoch 0 is nan"
    assert read_scalars(packed / "0/tensorboard") == read_scalars(alone / "0/tensorboard") == {}
    assert (packed / "0/metrics.csv").read_bytes() == (alone / "0/metrics.csv").read_bytes()
