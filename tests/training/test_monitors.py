"""A metric that no epoch of a run would have is refused before the run trains, whatever names it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.records.trial_file import read_trial
from copycat.training.components import build_components
from copycat.training.train import train
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, compose_quickly

ONE_BATCH = "expected a metric that the run has; got train/loss_mean: an epoch has one batch"
EARLY = "callbacks=early_stopping"


def data_overrides(tiny: Path) -> list[str]:
    return ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1"]


def build(tiny: Path, *words: str) -> None:
    build_components(compose_quickly([*data_overrides(tiny), *words]).config)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("callbacks.best.monitor", ["callbacks.best.monitor=train/loss_mean"]),
        ("callbacks.early_stopping.monitor", [EARLY, "callbacks.early_stopping.monitor=train/loss_mean"]),
        ("scheduler.monitor", ["scheduler=plateau", "scheduler.monitor=train/loss_mean"]),
    ],
)
@pytest.mark.parametrize("one", ["data.batch_size=null", "data.batch_size=99", "trainer.limit_train_batches=1"])
def test_the_mean_over_batches_needs_several(key: str, words: Sequence[str], one: str, tiny: Path) -> None:
    several = "data.batch_size=4"
    with pytest.raises(UserError, match=f"^{key}: {ONE_BATCH}"):
        build(tiny, *words, several, one)
    build(tiny, *words, several)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("sweep.objective", "sweep.objective=[val/loss,train/loss_mean]"),
        ("sweep.constraints", "sweep.constraints=['train/loss_mean<=1']"),
    ],
)
def test_a_sweep_with_a_missing_objective_does_not_start(
    key: str, word: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*data_overrides(tiny), *QUIET, word, "seed=1,2", f"output_dir={tmp_path / 'out'}")
    call_copycat("train", "-m", *words, status=2)
    assert f"copycat: {key}: {ONE_BATCH}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_a_trial_without_its_sweep_s_objective_fails_before_training(launcher: str, tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    words = ["sweep.objective=train/loss_mean", "data.batch_size=4,99", f"hydra/launcher={launcher}"]
    call_copycat("train", "-m", *data_overrides(tiny), *QUIET, *words, f"sweep.folder={sweep}", status=1)
    assert read_trial(sweep / "0").status == "completed"
    failed = read_trial(sweep / "1")
    assert failed.status == "failed"
    assert str(failed.error).startswith(f"sweep.objective: {ONE_BATCH}")
    assert not (sweep / "1" / "metrics.csv").exists()


@pytest.mark.parametrize("name", ["auroc", "balanced_accuracy"])
def test_a_score_of_all_classes_needs_an_image_of_each(name: str, tmp_path: Path) -> None:
    words = [f"callbacks.best.monitor=val/{name}", "callbacks.best.mode=max", f"output_dir={tmp_path / 'out'}"]
    config = compose_quickly(words).config
    with pytest.raises(UserError, match=rf"got val/{name}: val has no image of yes\. Choose val/accuracy\.$"):
        train(Request(config={**config, "data": {"_target_": "tests.support.parts.LackingValidation"}}))
    assert not (tmp_path / "out").exists()
