"""Event files: read back as TensorBoard reads them, and held against metrics.csv."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from copycat.records.metrics_csv import read_history
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from copycat.training.train import RunResult
from tests.support.killed_runs import kill_run, train_killable
from tests.support.runs import train_tiny
from tests.support.tensorboard import load_events, query_plugin, read_hparams, read_scalars, serve_tensorboard

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def outputs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def good(tiny: Path, outputs: Path) -> RunResult:
    return train_tiny(
        "trainer.max_epochs=4", "seed=0", "callbacks=none", "metrics=[full,per_class]", data=tiny, at=outputs
    )


@pytest.fixture(scope="module")
def bad(tiny: Path, outputs: Path) -> RunResult:
    words = (
        "loss=mse",
        "optimizer=momentum",
        "+optimizer.maximize=false",
        "scheduler=step",
        "scheduler.step_size=1",
        "scheduler.gamma=1e6",
        "trainer.max_epochs=50",
    )
    return train_tiny(*words, "callbacks=none", data=tiny, at=outputs)


@pytest.mark.parametrize("stage", ["train", "val"])
def test_every_metric_of_every_epoch_is_there_with_its_bits(stage: str, good: RunResult) -> None:
    found = read_scalars(good.folder / "tensorboard" / stage)
    rows = read_history(good.folder)
    names = [name.removeprefix(f"{stage}/") for name in rows[0] if name.startswith(f"{stage}/")]
    assert set(found) == set(names)
    for name in names:
        expected = [(int(row["epoch"]), float(np.float32(row[f"{stage}/{name}"]))) for row in rows]
        assert found[name] == expected


def test_epochs_without_a_validation_come_in_order_so_that_the_last_point_is_of_the_last_epoch(
    tiny: Path, tmp_path: Path
) -> None:
    run = train_tiny(
        "trainer.max_epochs=5", "trainer.check_val_every_n_epoch=2", "callbacks=none", data=tiny, at=tmp_path
    )
    for stage, epochs in (("train", [0, 1, 2, 3, 4]), ("val", [1, 3])):
        assert [step for step, _ in read_scalars(run.folder / "tensorboard" / stage)["loss"]] == epochs


@pytest.fixture(scope="module")
def address(good: RunResult, bad: RunResult, outputs: Path) -> Iterator[str]:
    with serve_tensorboard(outputs) as address:
        yield address


def test_hparams_shows_every_run_with_its_true_metrics(address: str, good: RunResult, bad: RunResult) -> None:
    groups = read_hparams(address)
    assert len(groups) == 2
    by_status = {group["status"]: group for group in groups}
    assert set(by_status) == {"STATUS_SUCCESS", "STATUS_FAILURE"}
    for status, outcome in (("STATUS_SUCCESS", good), ("STATUS_FAILURE", bad)):
        shown = by_status[status]["metrics"]
        last = {name: value for row in read_history(outcome.folder) for name, value in row.items() if name != "epoch"}
        came_out = outcome.manifest["results"]
        final = {f"final/{name}": value for name, value in came_out.get("final", {}).items()}
        best = {f"best/{name}": value for name, value in came_out["best"]["metrics"].items()}
        assert shown == {**{name: value for name, value in last.items() if name in shown}, **final, **best}
        assert {"train/loss", "val/loss", "val/accuracy"} <= shown.keys()
        assert -1 not in shown.values()
    assert "final/train/loss" in by_status["STATUS_SUCCESS"]["metrics"]
    assert by_status["STATUS_SUCCESS"]["hparams"]["seed"] == 0
    assert by_status["STATUS_SUCCESS"]["hparams"]["optimizer"] == "SGD"


def test_hparams_holds_hyper_parameters_alone(address: str) -> None:
    names = {
        info["name"] for info in query_plugin(address, "hparams/experiment", {"experimentName": ""})["hparamInfos"]
    }
    assert {"optimizer.lr", "seed", "model"} <= names
    assert {"optimizer.maximize", "scheduler.gamma"} <= names  # which only one of the two runs has
    assert not {name for name in names if "root" in name or "hp_metric" in name or "accelerator" in name}


@pytest.mark.parametrize("steps", [2, 6], ids=["in the first epoch", "later"])
def test_a_run_that_was_killed_and_resumed_has_every_record_once(steps: int, tiny: Path, tmp_path: Path) -> None:
    words = ("data.batch_size=4", "trainer.max_epochs=3", "callbacks.last.every_n_steps=1", "model=shallow")
    whole = train_killable(tiny, tmp_path / "whole", *words).folder
    killed = kill_run(tiny, tmp_path / "killed", *words, after=("batch", steps))
    assert resume(open_run(killed), notify=lambda line: None).status == "completed"
    tags = []
    for folder in (whole, killed):
        events = load_events(folder / "tensorboard")
        tags.append(
            {
                **{tag: len(events.Images(tag)) for tag in events.Tags()["images"]},
                **{tag: len(events.Tensors(tag)) for tag in events.Tags()["tensors"]},
                **{tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"]},
                "graph": int(events.Tags()["graph"]),
            }
        )
    assert tags[0] == tags[1]
    assert {"data/model_input", "run/config/text_summary", "best/val/loss"} <= tags[0].keys()
    with serve_tensorboard(tmp_path / "killed") as address:
        (group,) = read_hparams(address)
    assert group["status"] == "STATUS_SUCCESS"


def test_hparams_and_texts_of_an_extended_run_have_its_epochs(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=2", "callbacks=default", data=tiny, at=tmp_path).folder
    for epochs in (3, 4):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": epochs})
    events = load_events(folder / "tensorboard")
    content = events.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["trainer.max_epochs"].number_value == 4
    texts = events.Tensors("run/config/text_summary")
    assert [text.step for text in texts] == [0, 4]
    assert b"max_epochs: 4" in texts[-1].tensor_proto.string_val[0]


def test_the_graph_of_the_network_is_there(address: str, good: RunResult) -> None:
    runs = query_plugin(address, "graphs/info")
    assert any(info["run_graph"] for info in runs.values())
