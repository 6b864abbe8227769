"""The HParams tab of `copycat board`: its columns, and their order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from copycat.inspection.tensorboard.hparams import select_hparams
from copycat.inspection.tensorboard.hparams_table import HParamsTable, plugins_with_table
from copycat.inspection.tensorboard.run_names import RunLinks
from tests.support.runs import compose_quickly, train_tiny
from tests.support.tensorboard import query_plugin, read_hparams, serve_tensorboard

QUESTION = {"experimentName": ""}


@pytest.fixture(scope="module")
def outputs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in their learning rate and batch size."""
    folder = tmp_path_factory.mktemp("outputs")
    for words in ((), ("optimizer.lr=0.5", "data.batch_size=2", "metrics=per_class")):
        train_tiny("trainer.max_epochs=1", *words, data=tiny, at=folder)
    return folder


def serve_linked(root: Path, names: Path) -> Iterator[str]:
    links = RunLinks(root, names)
    links.update()
    with serve_tensorboard(names, plugins=plugins_with_table(HParamsTable(links.varied))) as address:
        yield address


@pytest.mark.server
def test_hparams_has_columns_for_what_differs_and_the_important_metrics_first(outputs: Path, tmp_path: Path) -> None:
    for address in serve_linked(outputs, tmp_path):
        experiment = query_plugin(address, "hparams/experiment", QUESTION)
        runs = read_hparams(address)
    keys = [info["name"] for info in experiment["hparamInfos"]]
    # batches are shuffled where there are several; without a batch size there is no value to differ from
    assert sorted(keys) == ["data.batch_size", "data.shuffle", "optimizer.lr"]
    assert sorted(run["hparams"]["optimizer.lr"] for run in runs) == [0.001, 0.5]
    titles = [info["displayName"] for info in experiment["metricInfos"]]
    assert titles[:5] == [
        "val/loss",
        "val/accuracy",
        "val/loss (best epoch)",
        "val/accuracy (best epoch)",
        "train/loss",
    ]
    assert {"train/loss (final weights)", "val/recall/cat", "val/recall/cat (best epoch)"} <= set(titles)
    assert not [title for title in titles if title.startswith(("optimizer/", "time/"))]
    assert len(set(titles)) == len(titles)
    assert all({"val/loss", "best/val/loss", "final/train/loss"} <= run["metrics"].keys() for run in runs)


@pytest.mark.server
def test_of_a_single_run_hparams_shows_what_was_overridden(outputs: Path, tmp_path: Path) -> None:
    run = next(folder.parent for folder in outputs.rglob("run.json") if "optimizer.lr=0.5" in folder.read_text())
    for address in serve_linked(run, tmp_path):
        keys = {info["name"] for info in query_plugin(address, "hparams/experiment", QUESTION)["hparamInfos"]}
    assert keys == {"data", "data.batch_size", "optimizer.lr", "trainer.max_epochs"}


def test_a_trial_has_each_key_once_under_a_name_that_tells_options_apart() -> None:
    config = compose_quickly(["data=drawn", "model=shallow", "activation=relu", "optimizer=momentum"]).config
    found = select_hparams(config, {"model": "shallow", "activation": "relu", "optimizer": "momentum"})
    assert (found["model"], found["activation"], found["optimizer"]) == ("shallow", "ReLU", "momentum")
    assert "model.activation" not in found


def test_a_trial_has_the_normalization_that_was_typed_not_the_statistics_of_its_fold() -> None:
    config = {"normalize": {"mean": [0.5], "std": [0.2]}}
    assert select_hparams(config, {"normalize": "train"}) == {"normalize": "train"}
    assert select_hparams(config, {"normalize": config["normalize"]}) == {
        "normalize.mean": "[0.5]",
        "normalize.std": "[0.2]",
    }


def test_keys_may_be_numbers_as_in_a_schedule_by_epoch() -> None:
    config = {"model": {"_target_": "mine.Net", "rates": {0: 0.1, 5: None}, "open": {}}}
    assert select_hparams(config, {}) == {"model": "Net", "model.rates.0": 0.1}


def test_rates_and_weight_decays_of_single_parameters_are_hyper_parameters() -> None:
    words = ["data=drawn", "model=shallow", "lr_multipliers={layers.0.*:0.1}", "decay_bias_and_norm=false"]
    found = select_hparams(compose_quickly(words).config, {})
    assert (found["lr_multipliers.layers.0.*"], found["decay_bias_and_norm"]) == (0.1, False)
