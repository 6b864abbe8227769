"""MLflow's own client reads what `logger=mlflow` wrote."""

import csv
import json
from pathlib import Path

import pytest

from tests.support.commands import run_copycat
from tests.support.run_folders import find_only_run

pytestmark = pytest.mark.slow


# MLflow's table of runs, as it is imported, under SQLAlchemy 2.1
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")
def test_mlflow_has_every_epoch_of_a_run_to_the_bit(tmp_path: Path, images: Path) -> None:
    words = ["logger=mlflow", "data=folder", f"data.root={images}", "data.image_size=8", "trainer.max_epochs=2"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = run_copycat("train", *words, "output_dir=made/by/it", at=tmp_path, environment=quiet)
    assert done.returncode == 0, done.stderr
    outputs = tmp_path / "made/by/it"
    folder = find_only_run(outputs / "default")
    final = json.loads((folder / "run.json").read_text())
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    experiment = client.get_experiment_by_name("copycat")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer/lr"] == "0.001"
    for name in ("train/loss", "val/loss", "val/accuracy"):
        history = client.get_metric_history(run.info.run_id, name)
        assert [(m.step, m.value) for m in history] == [(int(row["epoch"]), float(row[name])) for row in rows]
    assert run.data.metrics["train/loss"] == float(rows[-1]["train/loss"])
    assert final["status"] == "completed"
