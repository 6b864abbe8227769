"""The base class of loggers that send a run to an experiment tracker."""

import json
import logging
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from tensorboard.compat.proto.summary_pb2 import Summary

from copycat.config.printable import print_line
from copycat.config.suggestions import describe_error
from copycat.records.metrics_csv import FILE as METRICS
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import CONFIG, WEIGHTS
from copycat.records.trial_file import FILE as TRIAL

log = logging.getLogger(__name__)


def image_suffix(content: bytes) -> str:
    """Return the suffix of an encoded image's file: png, or jpg."""
    return "png" if content.startswith(b"\x89PNG") else "jpg"


Row = tuple[int, Mapping[str, float]]
"""A step, which is an epoch, and metrics by name."""


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """Describe a run to a tracker."""

    config: Mapping[str, Any]
    """Resolved configuration."""
    name: str
    """Path of the run folder below `output_dir`."""
    sweep: str | None
    """Path of the sweep's folder below `output_dir`; None where the run is no trial."""
    run_id: str | None
    """The tracker's name of the resumed run; None: a new one."""


class Tracker(Logger, ABC):
    """Send the metrics of epochs, images, final metrics and files of a run to an experiment tracker.

    The tracker's id of the run, and the number of epochs sent, are in the run folder: a resumed run continues the same
    run of the tracker, and sends no epoch twice. A tracker that fails at the start fails the run. Later errors leave
    the run as it is: they are reported once, and at the end the missing epochs are sent again, from metrics.csv.

    Args:
        folder: the run folder.
        log_model: upload the final weights.
    """

    package: ClassVar[str | None] = None
    """Package that must be installed; checked before a run folder is made."""
    is_packable: ClassVar[bool] = True
    """Whether one process can log several runs at the same time."""

    def __init__(self, folder: str, *, log_model: bool = True) -> None:
        """Set the folder; the tracker is contacted when the run begins."""
        super().__init__()
        self.folder, self.log_model = Path(folder), log_model
        self.run_id: str | None = None
        self._resumes_at: int | None = None
        self._sent = self._logged = 0
        """Number of epochs that the tracker has, and that were logged."""
        self._scalars: dict[int, dict[str, float]] = {}
        self._loose: dict[str, float] = {}
        self._unsent: dict[int, dict[str, float]] = {}
        """What callbacks logged in epochs that the tracker lacks: metrics.csv has the rest."""
        self._final: dict[str, float] = {}
        self._next_try = "the run continues without it, and tries again at its end"
        self._failure: str | None = None

    # ----- a tracker's own

    @abstractmethod
    def connect(self, run: TrackedRun) -> str:
        """Begin a run, or resume the one of `run.run_id`; return its id."""

    @abstractmethod
    def send(self, rows: Sequence[Row]) -> None:
        """Send the metrics of epochs, in ascending order; the first may be further ones of the last epoch sent."""

    @abstractmethod
    def send_image(self, tag: str, content: bytes, step: int) -> None:
        """Send an image, encoded as PNG or JPEG."""

    @abstractmethod
    def send_file(self, path: Path) -> None:
        """Send a file of the run folder."""

    @abstractmethod
    def finish(self, status: str, final: Mapping[str, float], *, step: int) -> None:
        """Send the metrics of the final weights and of the best epoch, and end the run.

        `status` is that of run.json: completed, pruned, failed or interrupted.
        """

    def count_sent(self, recorded: int) -> int:
        """Return the number of epochs that the tracker has of a resumed run; the folder's record says this one."""
        return recorded

    # ----- start

    @property
    def version(self) -> str | None:
        """Return the tracker's id of the run, for Lightning."""
        return self.run_id

    @property
    def _state(self) -> Path:
        return self.folder / f"{self.name}.json"

    def purge(self, epoch: int) -> None:
        """Note the epoch that the run resumes at: the tracker keeps what it has."""
        self._resumes_at = epoch

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Begin the tracker's run with the configuration, or resume it."""
        config = vars(params) if isinstance(params, Namespace) else params
        recorded: Mapping[str, Any] = {}
        if self._resumes_at is not None and self._state.exists():
            recorded = json.loads(self._state.read_text(encoding="utf-8"))
        sweep = self.folder.parent if (self.folder / TRIAL).exists() else None
        root = Path(config["output_dir"]).absolute()
        if not self.folder.absolute().is_relative_to(root):  # by sweep.folder
            root = (sweep or self.folder).absolute().parent
        run = TrackedRun(
            config=config,
            name=self.folder.absolute().relative_to(root).as_posix(),
            sweep=None if sweep is None else sweep.absolute().relative_to(root).as_posix(),
            run_id=recorded.get("run_id"),
        )
        self.run_id = self.connect(run)
        self._sent = self.count_sent(recorded["epochs"]) if recorded else 0
        self._logged = self._resumes_at or 0
        self._write_state()
        self._send_missing()
        self.send_file(self.folder / CONFIG)

    # ----- epochs

    def log_epochs(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Send the metrics of epochs from `first` on, with what callbacks logged during them."""
        self._logged = first + len(rows)
        self._unsent |= {epoch: self._scalars.pop(epoch, {}) for epoch in range(first, self._logged)}
        self._unsent[self._logged - 1] |= self._loose
        self._loose = {}
        self._attempt(partial(self._send_epochs, list(enumerate(rows, first))))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a callback's metrics to the next row: their steps are of several kinds."""
        self._loose |= metrics

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add scalars to the row of an epoch, which is logged before them where a checkpoint lay inside the epoch."""
        if step >= self._logged:
            self._scalars.setdefault(step, {}).update(values)
        elif step in self._unsent:
            self._unsent[step].update(values)
        else:
            self._attempt(partial(self.send, [(step, values)]))

    def log_table(self, tags: Sequence[str], values: NDArray[Any], *, steps: Sequence[int]) -> None:
        """Add scalars, [epochs, tags], to the rows of epochs."""
        for step, row in zip(steps, values.tolist(), strict=True):
            self.log_scalars(dict(zip(tags, row, strict=True)), step)

    def write(self, summary: Summary, step: int = 0) -> None:
        """Send the images of a TensorBoard summary, and keep its scalars of the final weights for the end.

        Texts, histograms and curves are for TensorBoard alone.
        """
        for value in summary.value:
            if value.HasField("image"):
                tag, content = value.tag, value.image.encoded_image_string
                self._attempt(partial(self.send_image, tag, content, step))
            elif value.HasField("simple_value"):
                self._final[value.tag] = value.simple_value

    def _send_epochs(self, rows: Sequence[Row]) -> None:
        if new := [(epoch, {**row, **self._unsent.get(epoch, {})}) for epoch, row in rows if epoch >= self._sent]:
            self.send(new)
            self._sent = new[-1][0] + 1
            self._unsent = {epoch: values for epoch, values in self._unsent.items() if epoch >= self._sent}
            self._write_state()

    def _send_missing(self) -> None:
        """Send the logged epochs that the tracker lacks, by metrics.csv."""
        if self._sent < self._logged:
            history = read_history(self.folder)
            rows = [(int(row.pop("epoch")), row) for row in history]
            self._send_epochs([row for row in rows if row[0] < self._logged])

    def _write_state(self) -> None:
        """Record id and number of epochs; a process that is killed keeps what it wrote, without a flush to disk."""
        temporary = self._state.with_name(f".{self._state.name}")
        temporary.write_text(json.dumps({"run_id": self.run_id, "epochs": self._sent}) + "\n", encoding="utf-8")
        temporary.replace(self._state)

    # ----- end

    def log_final(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep the metrics of the final weights for the end."""
        self._final |= {f"final/{name}": value for name, value in metrics.items()}

    def log_best(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep the metrics of the best epoch for the end."""
        self._final |= {f"best/{name}": value for name, value in metrics.items()}

    def conclude(self, status: str) -> None:
        """Send what is missing, the files, and the run's end."""
        if self.run_id is None:  # the run did not begin
            return
        if status == "failed":
            self._scalars.clear()  # of the epoch that failed, and of later ones that were trained before it was found
        self._failure, self._next_try = None, "the run ends without it"  # once more: it may be there again
        for action in (self._send_missing, self._send_remaining, self._send_files):
            self._attempt(action)
        self._attempt(partial(self.finish, status, self._final, step=self._logged))
        if self._sent < self._logged:
            print_line(
                f"copycat: logger {self.name}: {self._logged - self._sent} of {self._logged} epochs are missing there;"
                f" {self.folder / METRICS} has them.",
                error=True,
            )

    def _send_remaining(self) -> None:
        """Add what was logged after the last epoch to it."""
        values = {name: value for row in [*self._scalars.values(), self._loose] for name, value in row.items()}
        if values and self._sent:
            self.send([(self._sent - 1, values)])

    def _send_files(self) -> None:
        for name in (METRICS, *([WEIGHTS] if self.log_model else [])):
            if (self.folder / name).exists():
                self.send_file(self.folder / name)

    def _attempt(self, action: Callable[[], object]) -> None:
        """Send something; after an error, report it and send nothing until the end."""
        if self._failure is not None:
            return
        try:
            action()
        except Exception as error:
            self._failure = describe_error(error)
            log.warning("logger %s", self.name, exc_info=error)
            print_line(f"copycat: logger {self.name}: {self._failure}; {self._next_try}", error=True)
