"""MLflow: a database, or a tracking server."""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from copycat.config.dotted_keys import iterate_values
from copycat.inspection.trackers.tracker import Row, TrackedRun, Tracker, image_suffix
from copycat.records.lock import LockedError, locked

STATUS = {"completed": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
"""MLflow's status by ours, which is in the tag `copycat.status`."""
MAX_METRICS, MAX_PARAMS = 1000, 100
"""Number of metrics and of parameters in a request, at most: https://mlflow.org/docs/latest/rest-api.html#log-batch."""
MAX_PARAM_LENGTH = 6000
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_threads = threading.Lock()


class MLflowLogger(Tracker):
    """Send a run to MLflow; trials of a sweep are children of one run.

    Args:
        folder: the run folder.
        experiment_name: MLflow experiment, created where it is missing.
        tracking_uri: database or server.
        artifact_location: folder of a new experiment's artifacts; None: the server's default.
        run_name: name of the run; None: its folder's, below `output_dir`.
        log_model: upload the final weights.
    """

    package = "mlflow"
    name = "mlflow"

    def __init__(
        self,
        folder: str,
        *,
        tracking_uri: str,
        experiment_name: str = "copycat",
        artifact_location: str | None = None,
        run_name: str | None = None,
        log_model: bool = True,
    ) -> None:
        """Keep the settings."""
        super().__init__(folder, log_model=log_model)
        self._uri, self._experiment_name = tracking_uri, experiment_name
        self._artifact_location, self._run_name = artifact_location, run_name
        self._client: Any = None

    @property
    def experiment(self) -> Any:
        """Return the MLflow client, for a user's callback."""
        return self._client

    def connect(self, run: TrackedRun) -> str:
        """Create a run with its parameters, or resume one."""
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it reports each table that it creates
        # to make the tables of a new database at the same time as others fails
        with one_at_a_time(self._uri) if self._uri.startswith("sqlite:") else nullcontext():
            self._client = client = MlflowClient(self._uri)
            with few_attempts():
                experiment = self._find_experiment()
        if run.run_id is not None:
            client.update_run(run.run_id, status="RUNNING")
            self._log_params(run.run_id, run.config, client.get_run(run.run_id).data.params)
            return run.run_id
        tags = {"copycat.run": run.name}
        if run.sweep is not None:
            tags |= {"copycat.sweep": run.sweep, "mlflow.parentRunId": self._find_parent(experiment, run.sweep)}
        created = client.create_run(experiment, run_name=self._run_name or run.name, tags=tags)
        self._log_params(created.info.run_id, run.config, {})
        return str(created.info.run_id)

    def _log_params(self, run_id: str, config: Mapping[str, Any], recorded: Mapping[str, str]) -> None:
        """Log the parameters; those that MLflow has with another value become tags, as it lets no parameter change."""
        from mlflow.entities import Param

        values = {name: str(value)[:MAX_PARAM_LENGTH] for name, value in iterate_values(config)}
        params = [Param(name, value) for name, value in values.items() if name not in recorded]
        for start in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(run_id, params=params[start : start + MAX_PARAMS])
        for name, value in values.items():
            if recorded.get(name, value) != value:
                self._client.set_tag(run_id, f"copycat.{name}", value)

    def _find_experiment(self) -> str:
        """Return the id of the experiment, which another process may create at the same time."""
        from mlflow.exceptions import MlflowException

        if (found := self._client.get_experiment_by_name(self._experiment_name)) is None:
            try:
                return str(self._client.create_experiment(self._experiment_name, self._artifact_location))
            except MlflowException:
                if (found := self._client.get_experiment_by_name(self._experiment_name)) is None:
                    raise
        return str(found.experiment_id)

    def _find_parent(self, experiment: str, sweep: str) -> str:
        """Return the id of the sweep's run: the one whose id is first in the sweep's folder, made by any trial."""
        record = self.folder.parent / "mlflow.txt"
        if not record.exists():
            parent = self._client.create_run(experiment, run_name=sweep, tags={"copycat.sweep": sweep}).info.run_id
            self._client.set_terminated(parent)
            try:
                with record.open("x", encoding="utf-8") as file:
                    file.write(parent)
            except FileExistsError:  # another trial was faster
                self._client.delete_run(parent)
        return record.read_text(encoding="utf-8")

    def count_sent(self, recorded: int) -> int:
        """Return the number of epochs that MLflow has, since a process may be killed before it records them."""
        history = self._client.get_metric_history(self.run_id, "train/loss")
        return max([recorded, *(int(metric.step) + 1 for metric in history)])

    def send(self, rows: Sequence[Row]) -> None:
        """Log the metrics of all rows in as few requests as MLflow allows."""
        metrics = list(_make_metrics(rows))
        for start in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + MAX_METRICS])

    def send_image(self, tag: str, content: bytes, step: int) -> None:
        """Store an image as an artifact under its tag."""
        name = Path(f"{tag}.{image_suffix(content)}")
        with TemporaryDirectory() as folder:
            path = Path(folder, name.name)
            path.write_bytes(content)
            self._client.log_artifact(self.run_id, str(path), f"images/{name.parent.as_posix()}")

    def send_file(self, path: Path) -> None:
        """Store a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path))

    def finish(self, status: str, final: Mapping[str, float], *, step: int) -> None:
        """Log the final metrics at the step after the last epoch, and end the run."""
        self.send([(step, final)])
        self._client.set_tag(self.run_id, "copycat.status", status)
        self._client.set_terminated(self.run_id, STATUS.get(status, "FAILED"))


@contextmanager
def few_attempts() -> Iterator[None]:
    """Let MLflow try a request three times, in seconds: by default it tries a wrong address for four minutes."""
    if RETRIES in os.environ:  # the user's own
        yield
        return
    os.environ[RETRIES] = "2"
    try:
        yield
    finally:
        del os.environ[RETRIES]


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Wait until no other thread or process of this machine is in a block of this name."""
    folder = Path(gettempdir(), f"copycat-{blake2b(name.encode(), digest_size=8).hexdigest()}")
    folder.mkdir(exist_ok=True)
    with _threads, ExitStack() as context:
        while True:
            try:
                context.enter_context(locked(folder))
                break
            except LockedError:
                time.sleep(0.05)
        yield


def _make_metrics(rows: Sequence[Row]) -> Iterator[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for step, row in rows:
        for name, value in row.items():
            yield Metric(name, float(value), now, step)
