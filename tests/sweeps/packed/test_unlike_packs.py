"""Trials of unlike widths, depths and activations form one pack, and each agrees with the same trial alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from tests.support.commands import run_copycat
from tests.support.packs import (
    PACKED,
    assert_losses_agree,
    kill_sweep,
    pack_of,
    read_trials,
    resume_sweep,
    run_sweep,
    train_packed_and_alone,
)
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits, read_training_losses

UNLIKE = ("model=deep", "model.hidden=[3],[5,2],[2,6],[4,3,2]")
JOBS: Mapping[str, Sequence[str]] = {
    "rates": (*UNLIKE, "optimizer=adamw", "optimizer.weight_decay=0.1", "optimizer.lr=1e-3,3e-3"),
    "activations": (*UNLIKE, "activation=tanh,relu", "optimizer=momentum", "optimizer.lr=0.01"),
    "no hidden layer": ("model=deep", "model.hidden=[],[3],[7]", "optimizer=adam"),
    "styles": ("model=deep", "model.hidden=[3],[4]", "model.style=sequential,subclass", "optimizer.lr=0.01"),
    "seeds": (*UNLIKE, "seed=1,2", "optimizer=adam", "data.batch_size=5", "trainer.accumulate_grad_batches=2"),
    "augmentation": (*UNLIKE, "augmentation=light", "data.batch_size=5", "optimizer=adam"),
    "folds": (*UNLIKE, "data.folds=2", "data.fold=0,1", "optimizer.lr=0.01"),
    "clipped": (*UNLIKE, "trainer.gradient_clip_val=0.01", "optimizer.lr=0.1,1"),
    "classes": (*UNLIKE, "loss=cross_entropy", "loss.class_weights=[1.0,2.0],[1.0,0.5]", "optimizer.lr=0.01"),
    "plateau": (*UNLIKE, "scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.1"),
    "schedule": (*UNLIKE, "scheduler=warmup_cosine", "data.batch_size=5", "optimizer=nadam", "optimizer.lr=0.01"),
    "dropout": (
        *(f"model._target_={__name__}.with_dropout", "model.hidden=[3],[6],[5,2],[2,6]", "activation=gelu"),
        *("optimizer=adam", "optimizer.weight_decay=0.1"),
    ),
}


def with_dropout(*, in_features: int, hidden: Sequence[int], out_features: int, **_: object) -> torch.nn.Sequential:
    """Make a network of linear layers, each hidden one with dropout."""
    layers, widths = list[torch.nn.Module]([torch.nn.Flatten()]), [in_features, *hidden]
    for place, width in enumerate(hidden):
        layers += [torch.nn.Linear(widths[place], width), torch.nn.GELU(), torch.nn.Dropout(0.3)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], out_features))


@pytest.mark.parametrize("job", mark_slow(JOBS, fast=["rates", "dropout", "activations"]))
def test_each_trial_of_an_unlike_pack_agrees_with_the_same_trial_alone(job: str, tiny: Path, tmp_path: Path) -> None:
    words = ["trainer.max_epochs=30", "trainer.check_val_every_n_epoch=5", *JOBS[job]]
    for mine, other in train_packed_and_alone(*words, data=tiny, at=tmp_path):
        for row, single in zip(read_history(mine), read_history(other), strict=True):
            assert row == pytest.approx(single, rel=1e-5, abs=1e-6)
        weights = [load_file(folder / "weights.safetensors") for folder in (mine, other)]
        torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)
        ends = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (mine, other)]
        states = [end["optimizer_states"][0]["state"] for end in ends]
        torch.testing.assert_close(*states, rtol=1e-2, atol=1e-4)
        for tensor in ends[0]["state_dict"].values():
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_an_unlike_trial_that_diverges_does_not_change_the_others(tiny: Path, tmp_path: Path) -> None:
    words = ("optimizer=sgd", "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=5", "loss=mse")
    hidden = ("model=deep", "activation=relu", "model.hidden=[3],[5,2],[4]")
    folder = run_sweep(*words, *hidden, "optimizer.lr=1e-3,1e9", PACKED, data=tiny, at=tmp_path / "a", status=1)
    healthy = run_sweep(*words, *hidden, "optimizer.lr=1e-3", data=tiny, at=tmp_path / "b")
    statuses = [trial.status for trial in read_trials(folder)]
    assert statuses == ["completed", "failed"] * 3
    assert {len(pack_of(folder / str(number))) for number in range(6)} == {6}
    for number in range(3):
        mine, other = folder / str(2 * number), healthy / str(number)
        assert read_training_losses(mine) == pytest.approx(read_training_losses(other), rel=1e-5)


@pytest.mark.slow
def test_early_stopping_shrinks_an_unlike_pack_and_ends_each_trial_where_it_ends_alone(
    tiny: Path, tmp_path: Path
) -> None:
    words = (
        *("model=deep", "model.hidden=[3],[5,2],[6]", "callbacks=early_stopping"),
        *("callbacks.early_stopping.patience=1", "optimizer=adam", "optimizer.lr=1e-3,0.3,0.5"),
        "trainer.max_epochs=40",
    )
    packed = run_sweep(*words, PACKED, data=tiny, at=tmp_path / "a")
    alone = run_sweep(*words, data=tiny, at=tmp_path / "b")
    epochs = [[len(read_training_losses(at / str(number))) for number in range(9)] for at in (packed, alone)]
    assert epochs[0] == epochs[1]
    assert len(set(epochs[0])) > 2
    assert_losses_agree(packed, alone, range(9), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_a_killed_unlike_pack_resumes_to_the_same_bits(optimizer: str, tiny: Path, tmp_path: Path) -> None:
    words = (*UNLIKE, "activation=tanh,relu", f"optimizer={optimizer}", "trainer.max_epochs=12", PACKED)
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    again = run_sweep(*words, data=tiny, at=tmp_path / "again")
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=7)
    folder = tmp_path / "killed" / "sweep"
    resume_sweep(folder, at=tmp_path)
    for number in range(8):
        assert read_manifest(folder / str(number))["resumed"][0]["epoch"] == 7
        assert_same_bits(folder / str(number), whole / str(number))
        assert_same_bits(again / str(number), whole / str(number))


@pytest.mark.slow
def test_a_trial_of_an_unlike_pack_is_rerun_within_rounding(tiny: Path, tmp_path: Path) -> None:
    folder = run_sweep(*UNLIKE, "optimizer=momentum", "trainer.max_epochs=8", PACKED, data=tiny, at=tmp_path)
    output = run_copycat("rerun", folder / "1", "--tolerance", "1e-4", at=tmp_path)
    assert output.returncode == 0, output.stdout + output.stderr
    output = run_copycat("evaluate", folder / "2", at=tmp_path)
    assert output.returncode == 0, output.stdout + output.stderr


@pytest.mark.slow
def test_unlike_trials_are_spread_over_packs_of_the_requested_size(tiny: Path, tmp_path: Path) -> None:
    words = (*UNLIKE, "seed=1,2", "trainer.max_epochs=3", "hydra.launcher.max_trials_per_pack=3", PACKED)
    folder = run_sweep(*words, data=tiny, at=tmp_path)
    packs = {tuple(pack_of(folder / str(number))) for number in range(8)}
    assert sorted(map(len, packs)) == [2, 3, 3]
    assert sorted(number for pack in packs for number in pack) == list(range(8))


@pytest.mark.slow
def test_one_trial_of_a_killed_unlike_pack_can_be_resumed_alone(tiny: Path, tmp_path: Path) -> None:
    words = (*UNLIKE, "optimizer=momentum", "trainer.max_epochs=12", PACKED)
    whole = run_sweep(*words, data=tiny, at=tmp_path / "whole")
    kill_sweep(words, data=tiny, at=tmp_path / "killed", epoch=6)
    outcome = resume(open_run(tmp_path / "killed" / "sweep" / "1"), notify=lambda line: None)
    assert outcome.status == "completed"
    assert read_training_losses(outcome.folder) == pytest.approx(read_training_losses(whole / "1"), rel=1e-5)
