"""TensorBoard event files: train and validation of one metric in one chart, valid HParams, the graph."""

import logging
import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn
from torch.utils.tensorboard import FileWriter, SummaryWriter
from torch.utils.tensorboard._pytorch_graph import graph

from copycat.inspection.tensorboard.event_file import EventFile
from copycat.inspection.tensorboard.hparams import session_end, session_start
from copycat.inspection.tensorboard.purge import EVENTS, purge
from copycat.records.trial_file import read_trial
from copycat.training.seeds import KNOWN_MODULES
from copycat.training.stopping import PrunedRun

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
HPARAM_GROUPS = ("seed", "model", "augmentation", "loss", "optimizer", "scheduler")
"""Config groups whose keys are all hyper-parameters; of other groups, `KEYS` are."""
HPARAM_KEYS = {
    *("data", "data.batch_size", "data.shuffle", "data.fold", "data.split_seed"),
    *("trainer.max_epochs", "trainer.precision", "trainer.gradient_clip_val", "trainer.accumulate_grad_batches"),
}


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
        self._writer: _AppendingWriter | None = None
        self._files: dict[str, EventFile] = {}
        self._last_write = time.time()
        self._is_resumed = False
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
            self._writer = _AppendingWriter(self.folder, self._file())
        return self._writer

    def _file(self, stage: str = "") -> EventFile:
        """Return a stage's event file: TensorBoard follows one file in each folder."""
        if stage not in self._files:
            Path(self.folder).mkdir(exist_ok=True)  # without parents: a deleted run folder is not created again
            self._files[stage] = EventFile(Path(self.folder, stage))
        return self._files[stage]

    def write(self, summary: Summary, step: int = 0) -> None:
        """Write a summary that belongs to no stage: images, texts, curves.

        Args:
            summary: of one or more values.
            step: completed epochs; a run resumed from an epoch drops what was written at it or later.
        """
        self._file().add_event(Event(wall_time=time.time(), summary=summary, step=step))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the metrics of one epoch."""
        self.log_epochs(step or 0, [metrics])

    def log_epochs(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the rows of consecutive epochs, their times spread over the time since the previous call.

        Args:
            first: the epoch of the first row.
            rows: metrics by name.
        """
        now = time.time()
        times = np.linspace(self._last_write, now, len(rows) + 1)[1:]
        self._last_write = now
        indices_by_names: dict[tuple[str, ...], list[int]] = {}
        for index, names in enumerate(map(tuple, rows)):
            indices_by_names.setdefault(names, []).append(index)
        for names, indices in indices_by_names.items():
            table = np.array([list(rows[index].values()) for index in indices], dtype=np.float32)
            stages = [name.rpartition("/")[0] for name in names]
            steps = [first + index for index in indices]
            for stage in dict.fromkeys(stages):
                columns = [column for column, of in enumerate(stages) if of == stage]
                tags = [names[column].rpartition("/")[2] for column in columns]
                self._add(stage, tags, table[:, columns], steps=steps, times=times[indices])

    def _add(self, stage: str, tags: Sequence[str], values: Floats, *, steps: Sequence[int], times: Doubles) -> None:
        self._file(stage).add(tags, values, steps=steps, times=times)

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars that belong to no stage, under their full names."""
        self.write(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def log_table(self, tags: Sequence[str], values: Floats, *, steps: Sequence[int]) -> None:
        """Write many rows of scalars that belong to no stage, [rows, tags]."""
        self._add("", tags, values, steps=steps, times=np.full(len(steps), time.time()))

    def purge(self, epoch: int) -> None:
        """Drop what was written at an epoch and later, for a run that resumes from there."""
        self._is_resumed = epoch > 0
        for events in {file.parent for file in Path(self.folder).rglob(EVENTS)}:
            purge(events, epoch)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write the hyper-parameters, once."""
        if self._is_resumed:
            return
        config = vars(params) if isinstance(params, Namespace) else params
        keys = HPARAM_KEYS | self._varied()
        values = {name: v for name, v in _flatten(config) if name in keys or name.partition(".")[0] in HPARAM_GROUPS}
        self.write(session_start(values))

    def _varied(self) -> set[str]:
        """Return the keys that a trial's sweep varies: without them two trials would look the same."""
        try:
            return set(read_trial(Path(self.folder).parent).values)
        except (OSError, ValueError):
            return set()

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Trace the network with one image, drawing no random number and restoring its mode."""
        image = input_array if input_array is not None else getattr(model, "example_input_array", None)
        if not self._graph or self._is_resumed or image is None:
            return
        network = getattr(model, "network", model)
        try:
            self.traced_graph = _trace(network, image)
            self.write_graph(self.traced_graph)
        except Exception as error:  # a network that can't be traced can be trained all the same
            log.warning("no graph in TensorBoard: %s", str(error).splitlines()[0])

    def write_graph(self, traced: Any) -> None:
        """Write a graph traced by this logger, or by that of a network of the same shape."""
        if self._graph and not self._is_resumed:
            definition, _ = traced
            event = Event(wall_time=time.time(), graph_def=definition.SerializeToString())
            self._file().add_event(event)

    def finalize(self, status: str) -> None:
        """Write the run's end."""
        # Lightning reports any exception as a failure; a pruner's is none
        self.write(session_end("pruned" if isinstance(sys.exception(), PrunedRun) else status))

    def log_final(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the metrics of the final weights to HParams.

        Args:
            metrics: by name.
            step: the one after the last, so that a resumed run writes them again.
        """
        self.log_scalars({f"final/{name}": value for name, value in metrics.items()}, step)

    def log_best(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the metrics of the best epoch to HParams, of a failed or pruned run too."""
        self.log_scalars({f"best/{name}": value for name, value in metrics.items()}, step)

    def close(self) -> None:
        """Close the event files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._writer = None


_graphs: dict[str, Any] = {}
"""Traced graphs of this process, by input shape and layers: the trials of a sweep share them."""
MAX_GRAPHS = 16


def _trace(network: nn.Module, image: Tensor) -> Any:
    # the representation of known layers determines their graph, so it can serve as the key
    known = all(type(module).__module__.startswith(KNOWN_MODULES) for module in network.modules())
    key = f"{tuple(image.shape)} {network}" if known else ""
    if key in _graphs:
        return _graphs[key]
    training, like = network.training, next(network.parameters(), image)
    try:
        # torch prints what it cannot trace to standard output, where only a command's result belongs
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # the tracer warns of shapes that it takes for constants
            image = image.to(like, copy=True)  # the first layer may write to it
            # a second trace to compare would double the time
            traced = torch.jit.trace(network.eval(), image, check_trace=False)  # type: ignore[no-untyped-call]
            traced_graph = graph(traced, image)  # type: ignore[no-untyped-call]
    finally:
        network.train(training)
    if key and len(_graphs) < MAX_GRAPHS:
        _graphs[key] = traced_graph
    return traced_graph


class _AppendingWriter(SummaryWriter):
    """Append to a file that is already open, where torch's own writer would create a file and a thread."""

    file_writer: Any
    all_writers: Any

    def __init__(self, folder: str, file: EventFile) -> None:
        self._to = file
        super().__init__(folder)

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _AppendingFileWriter(self._to)
            self.all_writers = {self._to.get_logdir(): self.file_writer}
        return self.file_writer


class _AppendingFileWriter(FileWriter):
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | str | bool]]:
    """Yield names and values for HParams, which takes numbers, strings and booleans. A target appears by its class."""
    for name, value in config.items():
        if name == "_target_":
            yield prefix[:-1], str(value).rpartition(".")[2]
        elif isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, (bool, int, float, str)):
            if not name.startswith("_"):
                yield f"{prefix}{name}", value
        elif value is not None:
            yield f"{prefix}{name}", str(value)
