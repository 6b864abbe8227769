"""TensorBoard event files: train and validation of one metric in one chart, valid HParams, the graph."""

import logging
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from copycat.inspection.tensorboard.event_file import AppendingWriter, EventFile
from copycat.inspection.tensorboard.graph import trace_graph
from copycat.inspection.tensorboard.hparams import select_hparams, session_end, session_start
from copycat.inspection.tensorboard.purge import EVENTS, purge
from copycat.records.trial_file import read_trial
from copycat.training.stopping import PrunedRun

log = logging.getLogger(__name__)
STAGES = ("train/", "val/", "test/")


class TensorBoardLogger(Logger):
    """Write `train/loss` as `loss` of the run `train`, so that it shares a chart with `loss` of the run `val`.

    HParams reads the same scalars, so that a failed run shows with the metrics it reached.

    Args:
        folder: of the event files; `train` and `val` below it have their own.
        graph: write the network's graph, once.
    """

    def __init__(self, folder: str, *, graph: bool = True) -> None:
        """Set the folder; files are created when something is written."""
        super().__init__()
        self.folder, self._graph = folder, graph
        self._writer: AppendingWriter | None = None
        self._files: dict[str, EventFile] = {}
        self._last_write = time.time()
        self._is_resumed = False
        self._logged = 0
        """Number of epochs whose metrics are written."""
        self._tables: list[tuple[Sequence[str], NDArray[np.float32], NDArray[np.int64]]] = []
        """Tags, values [rows, tags] and epochs of scalars of later epochs, which may fail."""
        self.traced_graph: Any = None
        """The network's traced graph, once it is written."""

    @property
    def name(self) -> str:
        """Return the logger's name for Lightning."""
        return "tensorboard"

    @property
    def version(self) -> str:
        """Return an empty version: a run folder holds one run."""
        return ""

    @property
    def save_dir(self) -> str:
        """Return the folder of the event files."""
        return self.folder

    @property
    def experiment(self) -> SummaryWriter:
        """Return a SummaryWriter for a user's callback; it appends to the event file that belongs to no stage."""
        if self._writer is None:
            self._writer = AppendingWriter(self.folder, self._file())
        return self._writer

    def _file(self, stage: str = "") -> EventFile:
        """Return a stage's event file: TensorBoard follows one file in each folder."""
        if stage not in self._files:
            Path(self.folder).mkdir(exist_ok=True)  # without parents: a deleted run folder is not created again
            self._files[stage] = EventFile(Path(self.folder, stage))
        return self._files[stage]

    def write(self, summary: Summary, step: int = 0) -> None:
        """Write a summary that belongs to no stage: images, texts, curves.

        A run resumed from an epoch drops what was written at that step or later.
        """
        self._file().add_event(Event(wall_time=time.time(), summary=summary, step=step))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the metrics of one epoch."""
        self._write_rows(step or 0, [metrics])

    def log_epochs(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the rows of epochs from `first` on, and the scalars that were logged of them."""
        self._write_rows(first, rows)
        self._logged = first + len(rows)
        self._write_tables()

    def _write_rows(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Write rows, their times spread over the time since the previous call."""
        now = time.time()
        times = np.linspace(self._last_write, now, len(rows) + 1)[1:]
        self._last_write = now
        indices_by_name: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            for name in row:
                indices_by_name.setdefault(name, []).append(index)
        names_by_place: dict[tuple[str, tuple[int, ...]], list[str]] = {}  # TensorBoard draws a tag's rows as they come
        for name, indices in indices_by_name.items():
            names_by_place.setdefault((_split(name)[0], tuple(indices)), []).append(name)
        for (stage, places), names in names_by_place.items():
            table = np.array([[rows[index][name] for name in names] for index in places], dtype=np.float32)
            steps = [first + index for index in places]
            self._file(stage).add([_split(name)[1] for name in names], table, steps=steps, times=times[list(places)])

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars of an epoch that belong to no stage, under their full names."""
        self.log_table([*values], np.array([[*values.values()]], dtype=np.float32), steps=[step])

    def log_table(self, tags: Sequence[str], values: NDArray[np.float32], *, steps: Sequence[int]) -> None:
        """Log many rows of scalars that belong to no stage, [rows, tags]; they are written with their epochs."""
        self._tables.append((tags, values, np.array(steps)))
        self._write_tables()

    def _write_tables(self) -> None:
        """Write the scalars of epochs whose metrics are written."""
        tables, self._tables = self._tables, []
        for tags, values, steps in tables:
            ready = steps < self._logged
            if ready.any():
                self._file().add(
                    tags, values[ready], steps=steps[ready].tolist(), times=np.full(ready.sum(), time.time())
                )
            if not ready.all():
                self._tables.append((tags, values[~ready], steps[~ready]))

    def purge(self, epoch: int) -> None:
        """Drop what was written at an epoch and later, for a run that resumes from there."""
        self._is_resumed, self._logged = epoch > 0, epoch
        for events in {file.parent for file in Path(self.folder).rglob(EVENTS)}:
            purge(events, epoch)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write the hyper-parameters."""
        config = vars(params) if isinstance(params, Namespace) else params
        self.write(session_start(select_hparams(config, self._varied())))

    def _varied(self) -> Mapping[str, Any]:
        """Return the values of the keys that a trial's sweep varies: without them two trials would look the same."""
        try:
            return read_trial(Path(self.folder).parent).values
        except (OSError, ValueError):
            return {}

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Write the graph of a network; the one of `model` where it holds it as `network`."""
        image = input_array if input_array is not None else getattr(model, "example_input_array", None)
        if not self._graph or self._is_resumed or image is None:
            return
        network = getattr(model, "network", model)
        try:
            self.traced_graph = trace_graph(network, image)
            self.write_graph(self.traced_graph)
        except Exception as error:  # a network that can't be traced can be trained all the same
            log.warning("no graph in TensorBoard: %s", str(error).splitlines()[0])

    def write_graph(self, traced: Any) -> None:
        """Write a graph traced by this logger, or by that of a network of the same shape."""
        if self._graph and not self._is_resumed:
            definition, _ = traced
            self._file().add_event(Event(wall_time=time.time(), graph_def=definition.SerializeToString()))

    def finalize(self, status: str) -> None:
        """Write the run's end."""
        # Lightning reports any exception as a failure; a pruner's is none
        self.write(session_end("pruned" if isinstance(sys.exception(), PrunedRun) else status))

    def log_final(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the metrics of the final weights to HParams; `step` is the one after the last epoch."""
        self._write_scalars({f"final/{name}": value for name, value in metrics.items()}, step)

    def log_best(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the metrics of the best epoch to HParams, of a failed or pruned run too."""
        self._write_scalars({f"best/{name}": value for name, value in metrics.items()}, step)

    def _write_scalars(self, values: Mapping[str, float], step: int) -> None:
        self.write(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def conclude(self, status: str) -> None:
        """Write what was logged after the last epoch, unless it is of an epoch that failed."""
        if status != "failed":
            self._logged = sys.maxsize
            self._write_tables()

    def close(self) -> None:
        """Close the event files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._writer = None


def _split(name: str) -> tuple[str, str]:
    """Split a metric's name into its stage and tag: `val/recall/cat` is `recall/cat` of `val`."""
    stage, _, tag = name.partition("/") if name.startswith(STAGES) else name.rpartition("/")
    return stage, tag
