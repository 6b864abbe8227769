"""Runs, sweeps and packs measure the group `metrics`, monitor it and go by it, with the bits of single steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from torch import Tensor

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.records.metrics_csv import read_columns, read_history
from copycat.records.predictions import read_predictions
from copycat.records.run_loader import open_run
from copycat.reruns.comparison import compare
from copycat.training.resume import resume
from copycat.training.train import train
from tests.support.killed_runs import assert_same_folders, kill_run, train_killable
from tests.support.packs import PACKED, pack_of, read_trials, run_sweep
from tests.support.runs import compose_quickly, train_tiny

OWN = "+metrics.own._target_=torchmetrics.classification.MulticlassCohenKappa"
SMALL = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "data.batch_size=5", "trainer.threads=1", "logger=none")
MONITORS = (
    *("callbacks=early_stopping", "callbacks.early_stopping.monitor=val/own", "callbacks.early_stopping.mode=max"),
    *("callbacks.best.monitor=val/recall/cat", "callbacks.best.mode=max"),
    *("scheduler=plateau", "scheduler.monitor=val/brier", "scheduler.patience=0"),
)
MEASURED = ("metrics=[full,per_class]", OWN, *MONITORS)


class Undefined(torchmetrics.Metric):
    """A metric of one's own without a value for any network, but for perfect predictions."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_state("errors", torch.tensor(0.0))
        self.errors: Tensor

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.errors = (preds - target).abs().sum()

    def compute(self) -> Tensor:
        return torch.tensor(1.0 if self.errors in (0, 1) else torch.nan)


class Infinite(Undefined):
    """A metric of one's own that is infinite for every network."""

    def compute(self) -> Tensor:
        return torch.tensor(torch.inf)


UNDEFINED = f"+metrics.own._target_={__name__}.Undefined"


def test_many_steps_at_once_give_the_bits_of_single_steps(tiny: Path, tmp_path: Path) -> None:
    words = (*SMALL, *MEASURED, "trainer.max_epochs=5")
    single = train_tiny(*words, "trainer.steps_per_execution=1", data=tiny, at=tmp_path)
    many = train_tiny(*words, data=tiny, at=tmp_path)
    assert (many.folder / "metrics.csv").read_bytes() == (single.folder / "metrics.csv").read_bytes()
    assert many.manifest["results"] == single.manifest["results"]
    assert not compare(open_run(many.folder), open_run(single.folder)).differences
    columns = read_columns(single.folder)
    assert {"val/own", "val/brier", "train/mcc", "val/recall", "val/recall/cat", "val/recall/dog"} <= set(columns)
    assert single.manifest["results"]["best"]["monitor"] == "val/recall/cat"
    assert read_history(single.folder)[0].keys() == {"epoch", *columns}


@pytest.mark.usefixtures("all_checkpoints")
@pytest.mark.parametrize("after", [("batch", 6), ("validation", 8)])
def test_a_resume_inside_an_epoch_and_after_one_gives_the_bits_of_a_whole_run(
    after: tuple[str, int], tiny: Path, tmp_path: Path
) -> None:
    whole = train_killable(tiny, tmp_path / "whole", *MEASURED)
    folder = kill_run(tiny, tmp_path / "cut", *MEASURED, after=after)
    assert resume(open_run(folder), notify=print).status == "completed"
    assert_same_folders(folder, whole.folder)


def test_values_are_those_of_the_recorded_predictions(birds: Path, tmp_path: Path) -> None:
    run = train_tiny(*SMALL, "metrics=brier", "trainer.max_epochs=2", "data.fold=0", data=birds, at=tmp_path)
    predictions = read_predictions(run.folder, classes=3)["val"]
    hit = torch.eye(3)[torch.from_numpy(predictions.label)].numpy()
    expected = ((predictions.probability - hit) ** 2).sum(1).mean()
    assert run.manifest["results"]["final"]["val/brier"] == pytest.approx(expected, abs=1e-6)
    assert read_history(run.folder)[-1]["val/brier"] == run.manifest["results"]["final"]["val/brier"]


@pytest.mark.parametrize("objective", ["val/brier", "val/recall/cat"])
def test_a_sweep_ranks_by_the_direction_of_the_metric(objective: str, tiny: Path, tmp_path: Path) -> None:
    sweep = run_sweep(
        *("metrics=[brier,per_class]", f"sweep.objective={objective}", "optimizer.lr=1e-3,1e-1", "logger=none"),
        *("trainer.max_epochs=4", "sweep.constraints=['val/f1/dog>=0']"),
        data=tiny,
        at=tmp_path,
    )
    values = {trial.number: trial.objectives[objective] for trial in read_trials(sweep)}
    better = min if objective == "val/brier" else max
    assert len(values) == 2
    for trial in read_trials(sweep):
        rows = read_history(sweep / str(trial.number))
        assert values[trial.number] == better(row[objective] for row in rows)
    lines = (tmp_path / "output.txt").read_text().split("│ status")[0].splitlines()
    ranked = [int(line.split("│")[1]) for line in lines if line.startswith("│") and "completed" in line]
    assert ranked == sorted(values, key=lambda number: (values[number] if better is min else -values[number], number))


def test_a_pack_measures_and_monitors_as_each_run_alone_does(tiny: Path, tmp_path: Path) -> None:
    words = (*SMALL[:4], "logger=none", *MEASURED, "trainer.max_epochs=4", "optimizer.lr=1e-2,1e-3", "seed=1")
    objective = "sweep.objective=val/own"
    packed = run_sweep(*words, objective, PACKED, data=tiny, at=tmp_path / "packed")
    alone = run_sweep(*words, objective, data=tiny, at=tmp_path / "alone")
    for number in ("0", "1"):
        assert pack_of(packed / number)
        assert not pack_of(alone / number)
        rows, expected = (read_history(sweep / number) for sweep in (packed, alone))
        assert [row.keys() for row in rows] == [row.keys() for row in expected]
        for row, other in zip(rows, expected, strict=True):
            assert row == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_the_median_pruner_goes_by_a_metric_of_ones_own(tiny: Path, tmp_path: Path) -> None:
    sweep = run_sweep(
        *(OWN, "sweep.objective=val/own", "hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "logger=none"),
        *("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.n_trials=3", "trainer.max_epochs=4"),
        "optimizer.lr=choice(0.5,1e-4,1e-5)",
        data=tiny,
        at=tmp_path,
    )
    assert all(trial.status in ("completed", "pruned") for trial in read_trials(sweep))
    assert any("val/own" in trial.objectives for trial in read_trials(sweep))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["metrics=full", "callbacks.best.monitor=val/kapa"], "Did you mean callbacks.best.monitor=val/kappa?"),
        (["callbacks.best.monitor=val/kappa"], "callbacks.best.monitor: expected one of val/loss, train/accuracy"),
        (["metrics=full", "callbacks.best.monitor=val/brier", "callbacks.best.mode=max"], "mode: expected min"),
        ([OWN, "callbacks.best.monitor=val/own"], "callbacks.best.mode: expected max, as val/own is monitored"),
        (["metrics=full", "callbacks.best.monitor=test/kappa"], "got 'test/kappa'"),
        (["+metrics.f1._target_=torchmetrics.classification.BinaryF1Score"], "metrics.f1: expected another name"),
        (
            ["metrics=per_class", "callbacks.best.monitor=val/recall/bat", "callbacks.best.mode=max"],
            "expected one of val/recall/cat, val/recall/dog; got val/recall/bat. Did you mean val/recall/cat?",
        ),
    ],
)
def test_a_wrong_name_or_direction_is_one_line_before_the_run(
    words: list[str], line: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        train_tiny(*words, data=tiny, at=tmp_path)
    assert line in str(caught.value)
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("name", ["average_precision", "kappa"])
def test_a_metric_that_the_images_leave_undefined_is_not_monitored(name: str, tmp_path: Path) -> None:
    words = ["metrics=full", f"callbacks.best.monitor=val/{name}", "callbacks.best.mode=max", f"output_dir={tmp_path}"]
    config = compose_quickly(words).config
    with pytest.raises(UserError, match=rf"got val/{name}: val has no image of yes\. Choose val/accuracy\."):
        train(Request(config={**config, "data": {"_target_": "tests.support.parts.LackingValidation"}}))


@pytest.mark.parametrize("launcher", [(), (PACKED,)])
def test_a_trial_fails_alone_where_a_monitored_metric_never_has_a_value(
    launcher: tuple[str, ...], tiny: Path, tmp_path: Path
) -> None:
    sweep = run_sweep(
        *(UNDEFINED, *MONITORS[:3], *launcher, "optimizer.lr=1e-2,1e-3", "trainer.max_epochs=2", "logger=none"),
        data=tiny,
        at=tmp_path,
        status=1,
    )
    for trial in read_trials(sweep):
        assert trial.status == "failed"
        assert "val/own" in str(trial.error)


def test_an_infinite_value_is_recorded_as_an_undefined_one(tiny: Path, tmp_path: Path) -> None:
    words = (*SMALL, f"+metrics.own._target_={__name__}.Infinite", "callbacks.best.monitor=val/loss")
    run = train_tiny(*words, "trainer.max_epochs=2", data=tiny, at=tmp_path)
    assert run.status == "completed"
    assert not any("val/own" in row for row in read_history(run.folder))
    assert open_run(run.folder).manifest["results"]["best"]["metrics"].keys().isdisjoint({"val/own", "train/own"})


def test_the_direction_that_a_class_states_is_recorded(tiny: Path, tmp_path: Path) -> None:
    run = train_tiny(*SMALL, OWN, "trainer.max_epochs=1", data=tiny, at=tmp_path)
    recorded: Any = open_run(run.folder).config["metrics"]["own"]
    assert recorded["higher_is_better"] is True


def test_a_default_run_has_the_columns_of_every_run(tiny: Path, tmp_path: Path) -> None:
    request = compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}"])
    assert request.config["metrics"] == {}
    run = train(compose_quickly([*request.overrides, "trainer.max_epochs=1", "callbacks=none", "logger=none"]))
    scores = ["loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc"]
    assert read_columns(run.folder) == [f"{stage}/{name}" for stage in ("train", "val") for name in scores]
