"""Trials in a pack agree with single runs up to rounding, and a repeated pack gives the same bits."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from copycat.records.digests import changed_files
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import read_trial
from tests.support.commands import run_copycat
from tests.support.packs import (
    PACKED,
    pack_of,
    read_trials,
    run_sweep,
    train_packed_and_alone,
)
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits, read_training_losses

JOBS: Mapping[str, Sequence[str]] = {
    "logistic": ("model=logistic", "optimizer=sgd", "optimizer.lr=1e-3,3e-2"),
    "shallow": ("model=shallow", "model.hidden=[3]", "optimizer=adam", "optimizer.lr=1e-3,3e-3", "seed=1,2"),
    "deep": ("model=deep", "model.hidden=[6,5,4]", "optimizer=adamw", "optimizer.weight_decay=0.0,0.1"),
    "rmsprop": ("model=shallow", "model.hidden=[3]", "optimizer=rmsprop", "optimizer.lr=1e-4,1e-3"),
    "momentum": ("model=shallow", "model.hidden=[3]", "optimizer=momentum", "optimizer.momentum=0.5,0.9"),
    "cnn": ("model=cnn", "model.channels=[4,6]", "optimizer=adam", "optimizer.lr=1e-3", "seed=1,2,3"),
    "batches": (
        *("model=cnn", "model.channels=[4]", "optimizer=sgd", "optimizer.lr=0.01", "seed=1,2"),
        *("data.batch_size=5", "data.shuffle=true", "augmentation=light", "trainer.accumulate_grad_batches=2"),
    ),
    "schedule": ("model=logistic", "scheduler=warmup_cosine", "data.batch_size=5", "optimizer.lr=0.01,0.1"),
    "sequence": (
        *("model=logistic", "scheduler=sequence", "scheduler/second=one_cycle", "optimizer=momentum"),
        *("scheduler.interval=step", "data.batch_size=5", "optimizer.lr=0.01,0.1"),
    ),
    "clipped": ("model=logistic", "trainer.gradient_clip_val=0.01", "optimizer.lr=0.1,1"),
    "folds": ("model=logistic", "data.folds=2", "data.fold=0,1", "optimizer.lr=0.01"),
    "balanced weights": ("model=logistic", "loss.class_weights=balanced", "data.folds=4", "data.fold=0,1"),
    "balanced draws": (
        *("model=logistic", "loss=focal", "data.sampler=balanced", "seed=1,2"),
        *("data.batch_size=5", "augmentation=light", "optimizer.lr=0.01"),
    ),
    "normalized": ("model=shallow", "model.hidden=[3]", "normalize=train", "data.folds=2", "data.fold=0,1"),
    "weights": ("model=logistic", "loss.class_weights=[1.0,2.0],[1.0,0.5]", "optimizer.lr=0.01"),
    "classes": ("model=shallow", "model.hidden=[3]", "loss=cross_entropy", "optimizer.lr=0.01,0.1"),
    "initialization": ("model=shallow", "model.hidden=[3]", "initialization=default,he,xavier", "optimizer.lr=0.01"),
    "plateau": ("model=logistic", "scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.1,1"),
}


@pytest.mark.parametrize("job", mark_slow(JOBS, fast=["cnn"]))
def test_each_trial_of_a_pack_agrees_with_the_same_trial_alone(job: str, tiny: Path, tmp_path: Path) -> None:
    words = ["trainer.max_epochs=40", "trainer.check_val_every_n_epoch=5", *JOBS[job]]
    for mine, other in train_packed_and_alone(*words, data=tiny, at=tmp_path):
        assert read_training_losses(mine) == pytest.approx(read_training_losses(other), rel=1e-5)
        assert (mine / "config.yaml").read_bytes() == (other / "config.yaml").read_bytes()
        best = [read_manifest(folder)["results"]["best"]["epoch"] for folder in (mine, other)]
        assert best[0] == best[1]
        assert [set(row) for row in read_history(mine)] == [set(row) for row in read_history(other)]
        weights = [load_file(folder / "weights.safetensors") for folder in (mine, other)]
        for name, tensor in weights[0].items():
            assert torch.allclose(tensor, weights[1][name], rtol=1e-3, atol=1e-4)
        if "plateau" not in job:  # which goes by metrics
            ends = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (mine, other)]
            assert ends[0]["lr_schedulers"] == ends[1]["lr_schedulers"]
            assert read_settings(ends[0]) == read_settings(ends[1])


def read_settings(checkpoint: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rates, momentum and the like of each group, to the bit."""
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    return [{name: value for name, value in group.items() if name not in ("params", "fused")} for group in groups]


STOPS_THEN_BEST = (
    "callbacks=none",
    "+callbacks.stops._target_=pytorch_lightning.callbacks.EarlyStopping",
    *("+callbacks.stops.monitor=val/accuracy", "+callbacks.stops.mode=max", "+callbacks.stops.patience=30"),
    "+callbacks.best._target_=copycat.training.best_checkpoint.BestCheckpoint",
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
        assert_same_bits(first / str(number), again / str(number))
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
    assert "LBFGS evaluates the loss again and again" in (tmp_path / "output.txt").read_text()


@pytest.mark.slow
def test_networks_of_two_shapes_form_packs_of_the_requested_size(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[2],[3]", "seed=range(3)", "trainer.max_epochs=3", PACKED)
    folder = run_sweep(*words, "hydra.launcher.max_trials_per_pack=2", data=tiny, at=tmp_path)
    found = {tuple(pack_of(folder / str(number))) for number in range(6)}
    assert sorted(len(pack) for pack in found) == [1, 1, 2, 2]


@pytest.mark.slow
def test_a_packed_trial_can_be_resumed_rerun_and_predicted_with(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "seed=1,2", "trainer.max_epochs=8", PACKED)
    folder = run_sweep(*words, data=tiny, at=tmp_path)
    output = run_copycat("rerun", folder / "1", "--tolerance", "1e-4", at=tmp_path)
    assert output.returncode == 0, output.stdout + output.stderr
    assert "pack" in output.stdout + output.stderr
    image = next((tiny / "val" / "cat").iterdir())
    shown = run_copycat("predict", folder / "1", image, "--json", at=tmp_path)
    assert json.loads(shown.stdout)
    checkpoint = torch.load(folder / "1" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["network.layers.0.weight"].untyped_storage().nbytes() == 3 * 192 * 4


@pytest.mark.slow
def test_a_packed_trial_whose_best_epoch_is_not_its_last_is_rerun_within_rounding(tiny: Path, tmp_path: Path) -> None:
    worse = ("scheduler=multi_step", "scheduler.milestones=[3]", "scheduler.gamma=1e4", "optimizer=momentum")
    words = ("model=shallow", "model.hidden=[3]", *worse, "seed=1,2", "trainer.max_epochs=6", PACKED)
    folder = run_sweep(*words, data=tiny, at=tmp_path)
    assert read_manifest(folder / "1")["results"]["best"]["epoch"] < 5
    output = run_copycat("rerun", folder / "1", "--tolerance", "1e-4", at=tmp_path)
    assert output.returncode == 0, output.stdout + output.stderr


@pytest.mark.slow
def test_measuring_a_pack_leaves_the_first_trial_as_it_was(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[4]", "model.batch_norm=true", "optimizer=sgd", "trainer.max_epochs=2")
    packed = run_sweep(*words, "seed=1,2", PACKED, data=tiny, at=tmp_path / "packed")
    alone = run_sweep(*words, "seed=1", data=tiny, at=tmp_path / "alone")
    mine, other = (load_file(folder / "0" / "weights.safetensors") for folder in (packed, alone))
    assert any(name.endswith("running_mean") for name in mine)
    for name, tensor in mine.items():
        assert torch.allclose(tensor, other[name], rtol=1e-3, atol=1e-5), name
