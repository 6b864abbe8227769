"""Record one run, alone or in a pack. Long, as it is one class whose methods write one manifest in order."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.printable import Notify
from copycat.models.classifier import Stage, log_rows
from copycat.models.metrics import Row, metric_columns
from copycat.records.background_writer import BackgroundWriter
from copycat.records.checkpoint_file import save_weights
from copycat.records.digests import digest_files
from copycat.records.image_index import FILE as IMAGES
from copycat.records.image_index import write_images
from copycat.records.predictions import Predictions, write_predictions
from copycat.records.run_folder import WEIGHTS, release, remove_half_written, reserve, write_manifest
from copycat.training.checkpoint_io import AtomicCheckpointIO
from copycat.training.checkpoints import BEFORE, LastCheckpoint
from copycat.training.component_builders import build_group
from copycat.training.components import RunComponents
from copycat.training.history import MetricsCSVLogger
from copycat.training.lightning_internals import Position
from copycat.training.manifest import now, summarize_history
from copycat.training.monitors import find_monitored
from copycat.training.process_state import LOG, end_log
from copycat.training.result import RunResult, best_metrics, describe
from copycat.training.run_context import RunContext, RunObserver, class_probabilities, probability_digest

log = logging.getLogger(__name__)


class RunRecorder:
    """Write the records of a run: `open`, `begin`, `log`, `record_final_metrics`, `complete`, `end`, in this order.

    The lock of the folder is held, and `end` completes the manifest. Loggers are finalized outside: Lightning does it
    for a run alone. A quiet run leaves out callbacks that draw on the terminal.

    Raises:
        UserError: where a callback or a logger cannot be built.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Mapping[str, Any],
        components: RunComponents,
        manifest: dict[str, Any],
        extra_loggers: Sequence[Logger] = (),
        quiet: bool = False,
    ) -> None:
        """Build callbacks and loggers, and write nothing."""
        self.folder, self.config, self.manifest = folder, config, manifest
        self.classifier, self.data = components.classifier, components.data
        self.writer = self._make_writer()
        stages: list[Stage] = ["train", "val"]
        several = len(self.data.loader("train", shuffle=self.data.shuffle)) > 1
        added = [name for metric in self.classifier.metrics["train"].added for name in metric.columns]
        columns = metric_columns(stages, several_batches=several, added=added)
        self.history = MetricsCSVLogger(folder, columns, self.writer)
        callbacks = build_group(config, "callbacks", folder)
        self.callbacks = [callback for callback in callbacks if not (quiet and getattr(callback, "draws", False))]
        savers = [callback for callback in callbacks if isinstance(callback, LastCheckpoint)]
        self.last = savers[0] if savers else LastCheckpoint(str(folder / "checkpoints"), every_n_epochs=None)
        self.last.files = AtomicCheckpointIO(self.writer, self.last.path.parent)
        self.loggers = [self.history, *extra_loggers, *build_group(config, "logger", folder)]
        self.log_path = folder / LOG
        self._probabilities: Mapping[str, Tensor] = {}

    def _make_writer(self) -> BackgroundWriter:
        return BackgroundWriter()

    # ----- start

    def open(
        self,
        write: Callable[[Path], object] | None,
        *,
        resumes_at: int | None = None,
        notify: Notify = log.info,
    ) -> None:
        """Write the initial files of a run; where it resumes at an epoch, drop the records from there on.

        Args:
            write: writes configuration and manifest to the folder; None where they exist.
            resumes_at: the epoch; None for a new run.
            notify: takes one line per logger that cannot purge.

        Raises:
            OSError: where the folder cannot be written to.
        """
        remove_half_written(self.folder)
        if resumes_at is not None:
            for logger in self.loggers:
                if hasattr(logger, "purge"):
                    logger.purge(resumes_at)
                else:
                    notify(
                        f"{type(logger).__name__} cannot resume: it starts again. metrics.csv and TensorBoard resume."
                    )
        reserve(self.folder)
        if write is not None:
            write(self.folder)
        if resumes_at is None or not (self.folder / IMAGES).exists():  # the run may have been killed before this file
            write_images(self.folder, self.data)

    def begin(self, epoch: int) -> None:
        """Log the hyper-parameters, and notify observers of the start of a run at epoch 0.

        Separate from `open`: a logger that fails here fails the run, whose folder exists by then.
        """
        for logger in self.loggers:
            logger.log_hyperparams(dict(self.config))
        if epoch == 0:
            for observer in self._observers():
                observer.on_run_start(self._context())

    def log(self, first: int, rows: Sequence[Row]) -> None:
        """Write the metrics of consecutive epochs."""
        log_rows(self.loggers, first, rows)

    # ----- end

    def record_early_end(self, key: str, position: Position) -> None:
        """Record that training ended before its last epoch, by which key of the configuration, and where."""
        ended = {"by": key, "epoch": position.epoch, "batch": position.batch}
        self.manifest["results"]["ended_early"] = {**ended, "max_epochs": self.config["trainer"]["max_epochs"]}

    def record_final_metrics(self, final: Row, probabilities: Mapping[str, Tensor]) -> None:
        """Record the metrics of the final weights, and probabilities by part, [N] of class 1 or [N, classes]."""
        self._probabilities = probabilities
        results = self.manifest["results"]
        results["final"], results["predictions_digest"] = final, probability_digest(probabilities["val"])

    def complete(self, epochs: int) -> None:
        """Write predictions and final metrics, and notify observers of the end of the run.

        Separate from `record_final_metrics`: a pack measures in its main thread, and writes in a pool.
        """
        probabilities = {part: class_probabilities(probability) for part, probability in self._probabilities.items()}
        labels = {part: self.data.parts[part].labels.numpy() for part in probabilities}
        predictions = {part: Predictions(labels[part], values.numpy()) for part, values in probabilities.items()}
        write_predictions(self.folder, predictions)
        for logger in self.loggers:
            if hasattr(logger, "log_final"):
                logger.log_final(self.manifest["results"]["final"], step=epochs)
        context = self._context(epochs=epochs, probabilities=probabilities["val"].float())
        for observer in self._observers():
            observer.on_run_end(context)
        self.wait_until_written()

    def end(self, status: str, error: str | None, *, epochs: int, steps: int) -> RunResult:
        """Write the last records and the manifest; nothing is written to the folder afterwards.

        A record that cannot be written turns the status `completed` into `failed`.
        """
        try:
            self.wait_until_written()
        except Exception as failure:
            status, error = self.status_after_failure(failure, status, error)
        try:
            release(self.folder)
            self._conclude(status, steps)
        except Exception as failure:
            status, error = "failed", error or self.describe(failure)
        try:
            self.close_loggers(best_metrics(self.manifest), step=epochs, status=status)
        except Exception as failure:
            status, error = self.status_after_failure(failure, status, error)
        return self._close(status, error)

    def wait_until_written(self) -> None:
        """Wait until all checkpoints and rows are on disk.

        Raises:
            OSError: where one could not be written.
        """
        try:
            self.last.files.write_pending()
        finally:
            self.writer.wait()

    def status_after_failure(self, failure: Exception, status: str, error: str | None) -> tuple[str, str | None]:
        """Return status and error after records could not be written: only `completed` becomes `failed`."""
        return ("failed", self.describe(failure)) if status == "completed" else (status, error)

    def describe(self, failure: BaseException) -> str:
        """Return the reason of a failure in one line; the traceback goes to train.log."""
        return describe(failure, self.folder)

    def close_loggers(self, best: Mapping[str, float] = {}, *, step: int = 0, status: str = "interrupted") -> None:
        """Log the metrics of the best epoch, if any, at the step after the last, and let loggers end.

        Trackers learn the status of the run, which may have failed after Lightning finalized them.
        """
        for logger in self.loggers:
            if best and hasattr(logger, "log_best"):
                with suppress(OSError):  # run.json holds them too
                    logger.log_best(best, step=step)
            if hasattr(logger, "conclude"):
                logger.conclude(status)
            if hasattr(logger, "close"):
                logger.close()

    def _conclude(self, status: str, steps: int) -> None:
        results, network = self.manifest["results"], self.classifier.network
        self.history.finalize(status)
        results["parameters"] = sum(p.numel() for p in network.parameters())
        results |= summarize_history(self.folder, steps=steps, **find_monitored(self.callbacks))
        if status == "completed":
            results["weights_digest"] = save_weights(network.state_dict(), self.folder / WEIGHTS)
            self.last.path.with_name(BEFORE).unlink(missing_ok=True)

    def _close(self, status: str, error: str | None) -> RunResult:
        end_log(self.log_path)
        seconds = round(self.last.seconds, 3)
        self.manifest |= {"status": status, "error": error, "ended": now(), "seconds": seconds}
        with suppress(OSError, UserError):
            self.manifest["files"] = digest_files(self.folder)
        with suppress(OSError):  # where nothing can be written any more, the result still has the status
            write_manifest(self.folder, self.manifest)
        return RunResult(self.folder, status, self.manifest)

    def _observers(self) -> list[RunObserver]:
        return [callback for callback in self.callbacks if isinstance(callback, RunObserver)]

    def _context(self, **more: Any) -> RunContext:
        return RunContext(
            folder=self.folder,
            manifest=self.manifest,
            classifier=self.classifier,
            data=self.data,
            loggers=self.loggers,
            **more,
        )
