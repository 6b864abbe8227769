"""Event files: read back as TensorBoard reads them, and held against metrics.csv."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.program import TensorBoard

from copycat.runs.history import read_history
from copycat.runs.train import Outcome
from tests.runs.asking import run


@pytest.fixture(scope="module")
def outputs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def good(tiny: Path, outputs: Path) -> Outcome:
    return run("trainer.max_epochs=4", "seed=0", "callbacks=none", data=tiny, at=outputs)


@pytest.fixture(scope="module")
def bad(tiny: Path, outputs: Path) -> Outcome:
    words = (
        "loss=mse",
        "optimizer=momentum",
        "+optimizer.maximize=false",
        "scheduler=step",
        "scheduler.step_size=1",
        "scheduler.gamma=1e6",
        "trainer.max_epochs=50",
    )
    return run(*words, "callbacks=none", data=tiny, at=outputs)


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.parametrize("stage", ["train", "val"])
def test_every_metric_of_every_epoch_is_there_with_its_bits(stage: str, good: Outcome) -> None:
    found = _scalars(good.folder / "tensorboard" / stage)
    rows = read_history(good.folder)
    names = [name.removeprefix(f"{stage}/") for name in rows[0] if name.startswith(f"{stage}/")]
    assert set(found) == set(names)
    for name in names:
        expected = [(int(row["epoch"]), float(np.float32(row[f"{stage}/{name}"]))) for row in rows]
        assert found[name] == expected


def test_training_and_validation_share_a_chart(good: Outcome) -> None:
    train, val = (_scalars(good.folder / "tensorboard" / stage) for stage in ("train", "val"))
    assert "loss" in train.keys() & val.keys()  # one tag of two runs is one chart


@pytest.fixture(scope="module")
def address(good: Outcome, bad: Outcome, outputs: Path) -> Iterator[str]:
    program = TensorBoard()
    where = ["--logdir", str(outputs), "--host", "127.0.0.1", "--port", "0", "--load_fast=false"]
    program.configure(argv=["tensorboard", *where])
    server = program._make_server()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.get_url()
    server.shutdown()
    server.server_close()
    thread.join()


def _ask(address: str, path: str, question: dict[str, Any] | None = None) -> Any:
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(f"{address}data/plugin/{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_hparams_shows_every_run_with_its_true_metrics(address: str, good: Outcome, bad: Outcome) -> None:
    experiment = _ask(address, "hparams/experiment", {"experimentName": ""})
    columns = [{"metric": metric["name"]} for metric in experiment["metricInfos"]]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    question = {
        "experimentName": "",
        "allowedStatuses": statuses,
        "colParams": columns,
        "startIndex": 0,
        "sliceSize": 9,
    }
    groups = _ask(address, "hparams/session_groups", question)["sessionGroups"]
    assert len(groups) == 2
    by_status = {group["sessions"][0]["status"]: group for group in groups}
    assert set(by_status) == {"STATUS_SUCCESS", "STATUS_FAILURE"}
    for status, outcome in (("STATUS_SUCCESS", good), ("STATUS_FAILURE", bad)):
        shown = {f"{v['name']['group']}/{v['name']['tag']}": v["value"] for v in by_status[status]["metricValues"]}
        last = {name: value for row in read_history(outcome.folder) for name, value in row.items() if name != "epoch"}
        assert shown == {name: value for name, value in last.items() if name in shown}
        assert {"train/loss", "val/loss", "val/accuracy"} <= shown.keys()
        assert -1 not in shown.values()
    assert by_status["STATUS_SUCCESS"]["hparams"]["seed"] == 0
    assert by_status["STATUS_SUCCESS"]["hparams"]["optimizer"] == "SGD"


def test_hparams_holds_hyper_parameters_alone(address: str) -> None:
    names = {info["name"] for info in _ask(address, "hparams/experiment", {"experimentName": ""})["hparamInfos"]}
    assert {"optimizer.lr", "seed", "model"} <= names
    assert {"optimizer.maximize", "scheduler.gamma"} <= names  # which only one of the two runs has
    assert not {name for name in names if "root" in name or "hp_metric" in name or "accelerator" in name}


def test_the_graph_of_the_network_is_there(address: str, good: Outcome) -> None:
    runs = _ask(address, "graphs/info")
    assert any(info["run_graph"] for info in runs.values())
