"""Weights & Biases, MLflow and CSV, read by their own clients, have what the run folder has."""

import csv
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from copycat.inspection.trackers.mlflow import RETRIES, MLflowLogger
from copycat.inspection.trackers.tracker import TrackedRun
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from tests.support.commands import run_copycat
from tests.support.images import write_image_folder
from tests.support.run_folders import assert_same_bits, find_only_run
from tests.support.runs import train_tiny
from tests.support.wandb_file import read_wandb

pytestmark = [
    pytest.mark.slow,
    # MLflow's table of runs, as it is imported, under SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
]
LOGGERS = ["logger=[csv,mlflow,wandb]", "logger.wandb.mode=offline"]
KILLING_MODULE = """
import os, signal
from pathlib import Path
from pytorch_lightning import Callback

class Killer(Callback):
    def on_train_batch_end(self, trainer, *args):  # a step hook: each epoch is logged as it ends
        pass

    def on_train_epoch_start(self, trainer, *args):
        if trainer.global_step == 8 and Path("kill").exists():
            Path("kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
"""
IMAGES = {"data/model_input", "validation/confusion_matrix", "weights/first_layer"}


@dataclass(frozen=True)
class Tracked:
    """A run that was killed in its second epoch, after that was logged, and resumed from inside that epoch."""

    outputs: Path
    folder: Path
    plain: Path
    """The same run, without loggers, that nobody killed."""

    @property
    def rows(self) -> list[dict[str, float]]:
        return read_history(self.folder)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    at = tmp_path_factory.mktemp("tracked")
    write_image_folder(at / "images", classes={"cat": 0, "non-cat": 80}, parts={"train": 8, "val": 3}, levels=120)
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_DATA_DIR": str(at), "WANDB_CACHE_DIR": str(at)}
    words = ["data=folder", "data.root=images", "data.image_size=8", "data.batch_size=4", "model=logistic"]
    words += ["trainer.max_epochs=3", "callbacks.last.every_n_steps=3", "callbacks.last.every_n_epochs=null"]
    words.append("+callbacks.killer={_target_: killing.Killer}")
    (at / "killing.py").write_text(KILLING_MODULE)
    plain = run_copycat("train", *words, "logger=none", "output_dir=plain", at=at)
    assert plain.returncode == 0, plain.stderr
    (at / "kill").touch()
    killed = run_copycat("train", *words, *LOGGERS, at=at, environment=environment)
    assert killed.returncode == -9
    folder = find_only_run(at / "outputs/default")
    time.sleep(1)  # W&B's process notices the death
    resumed = run_copycat("resume", folder, at=at, environment=environment)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming from epoch 1, batch 2" in resumed.stderr
    return Tracked(at / "outputs", folder, find_only_run(at / "plain/default"))


def test_the_run_has_the_bits_of_one_without_loggers(tracked: Tracked) -> None:
    assert_same_bits(tracked.folder, tracked.plain)


def expected_final(folder: Path) -> dict[str, float]:
    results = read_manifest(folder)["results"]
    final = {f"final/{name}": value for name, value in results["final"].items()}
    return final | {f"best/{name}": value for name, value in results["best"]["metrics"].items()}


def test_mlflow_has_one_run_with_every_epoch_once(tracked: Tracked) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tracked.outputs}/mlflow.db")
    experiment = client.get_experiment_by_name("copycat")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == str(tracked.folder.relative_to(tracked.outputs))
    assert run.data.params["optimizer.lr"] == "0.001"
    assert run.data.tags["copycat.status"] == "completed"
    for name in ("train/loss", "val/loss", "val/accuracy"):
        history = client.get_metric_history(run.info.run_id, name)
        assert [(m.step, m.value) for m in history] == [(row["epoch"], row[name]) for row in tracked.rows]
    assert {name: run.data.metrics[name] for name in expected_final(tracked.folder)} == expected_final(tracked.folder)
    assert "optimizer/gradient_norm" in run.data.metrics
    artifacts = Path(run.info.artifact_uri)
    for name in ("config.yaml", "metrics.csv", "weights.safetensors"):
        assert (artifacts / name).read_bytes() == (tracked.folder / name).read_bytes()
    pictures = artifacts / "images"
    assert {str(path.relative_to(pictures).with_suffix("")) for path in pictures.rglob("*.*")} >= IMAGES


def test_mlflow_has_the_epochs_of_an_extended_run(tiny: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    words = ["logger=mlflow", "model=logistic", "trainer.max_epochs=1", "callbacks=default"]
    run = train_tiny(*words, data=tiny, at=tmp_path).folder
    resume(open_run(run), notify=lambda _: None, more={"trainer.max_epochs": 3})
    run_id = json.loads((run / "mlflow.json").read_text())["run_id"]
    found = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(run_id)
    assert found.data.params["trainer.max_epochs"] == "1"
    assert {name: value for name, value in found.data.tags.items() if "trainer" in name} == {
        "copycat.trainer.max_epochs": "3"
    }


def test_wandb_has_one_run_with_every_epoch_once(tracked: Tracked) -> None:
    first, last = sorted((tracked.outputs / "wandb").glob("offline-run-*"))
    assert first.name.rpartition("-")[2] == last.name.rpartition("-")[2]  # the id of the run
    part = read_wandb(last)
    assert part["run"].display_name == str(tracked.folder.relative_to(tracked.outputs))
    rows = [row for row in part["history"] if "train/loss" in row]
    assert [row["_step"] for row in rows] == [0, 1, 2]
    for name in ("train/loss", "val/loss", "val/accuracy"):
        assert [(row["epoch"], row[name]) for row in rows] == [(row["epoch"], row[name]) for row in tracked.rows]
    assert part["exit"] == 0
    assert part["summary"].items() >= {**expected_final(tracked.folder), "status": "completed"}.items()
    files = {path for paths in part["artifacts"].values() for path in paths}
    assert files == {"config.yaml", "metrics.csv", "weights.safetensors"}
    media = {key.removesuffix("/path") for row in part["history"] for key in row if "/path" in key}
    assert media >= IMAGES - {"data/model_input"}  # it was in the first part
    config = {item.key: item.value_json for item in part["run"].config.update}
    assert yaml.safe_load(config["optimizer"])["lr"] == 0.001


def test_the_csv_has_every_epoch_once_with_the_bits_of_the_run(tracked: Tracked) -> None:
    with (tracked.folder / "csv/metrics.csv").open() as file:
        rows: list[Mapping[str, Any]] = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    for row, expected in zip(rows, tracked.rows, strict=False):
        assert {name: float(row[name]) for name in expected if name != "epoch"} | {
            "epoch": float(row["step"])
        } == expected
    assert {name: float(rows[-1][name]) for name in expected_final(tracked.folder)} == expected_final(tracked.folder)
    pictures = tracked.folder / "csv/images"
    assert {str(path.relative_to(pictures).with_suffix("")) for path in pictures.rglob("*.*")} >= IMAGES


def test_mlflow_says_within_seconds_that_its_server_cannot_be_reached(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException  # takes a second

    logger = MLflowLogger(str(tmp_path), tracking_uri="http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(MlflowException, match="Connection refused"):
        logger.connect(TrackedRun(config={}, name="run", sweep=None, run_id=None))
    assert time.monotonic() - started < 60  # by default, four minutes
    assert RETRIES not in os.environ
