"""TensorBoard event files: train and validation of one metric in one chart, HParams that are right, the graph."""

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
GROUPS = ("seed", "model", "augmentation", "loss", "optimizer", "scheduler")
"""Their keys are hyper-parameters, and of the others these."""
KEYS = {
    *("data", "data.batch_size", "data.shuffle", "data.fold", "data.split_seed"),
    *("trainer.max_epochs", "trainer.precision", "trainer.gradient_clip_val", "trainer.accumulate_grad_batches"),
}


class TensorBoardLogger(Logger):
    """Writes `train/loss` as `loss` of the run `train`, so that it shares a chart with `loss` of the run `val`.

    HParams reads the same scalars, so a run that died shows with what it reached.

    Args:
        folder: of the event files; `train` and `val` below it have their own.
        graph: write the network's graph, once.
    """

    def __init__(self, folder: str, *, graph: bool = True) -> None:
        super().__init__()
        self.folder, self._graph = folder, graph
        self._writer: _Writer | None = None
        self._files: dict[str, EventFile] = {}
        self._until = time.time()
        self._goes_on = False
        self.traced: Any = None
        """The network's graph, once it is written."""

    @property
    def name(self) -> str:
        return "tensorboard"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return self.folder

    @property
    def experiment(self) -> SummaryWriter:
        """A SummaryWriter for a callback of the user's; it appends to the file of what belongs to no stage."""
        if self._writer is None:
            self._writer = _Writer(self.folder, self._file())
        return self._writer

    def _file(self, stage: str = "") -> EventFile:
        """TensorBoard follows one file in each folder."""
        if stage not in self._files:
            Path(self.folder).mkdir(exist_ok=True)  # a run folder that is gone is not made again
            self._files[stage] = EventFile(Path(self.folder, stage))
        return self._files[stage]

    def write(self, summary: Summary, step: int = 0) -> None:
        """Write what belongs to no stage: images, texts, curves.

        Args:
            step: epochs done; a run that goes on from an epoch drops what was written at it or later.
        """
        self._file().add_event(Event(wall_time=time.time(), summary=summary, step=step))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.log_epochs(step or 0, [metrics])

    def log_epochs(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Write the rows of consecutive epochs, their times spread over the time since those before."""
        now = time.time()
        times = np.linspace(self._until, now, len(rows) + 1)[1:]
        self._until = now
        alike: dict[tuple[str, ...], list[int]] = {}
        for place, names in enumerate(map(tuple, rows)):
            alike.setdefault(names, []).append(place)
        for names, places in alike.items():
            table = np.array([list(rows[place].values()) for place in places], dtype=np.float32)
            stages = [name.rpartition("/")[0] for name in names]
            steps = [first + place for place in places]
            for stage in dict.fromkeys(stages):
                columns = [column for column, of in enumerate(stages) if of == stage]
                tags = [names[column].rpartition("/")[2] for column in columns]
                self._add(stage, tags, table[:, columns], steps=steps, times=times[places])

    def _add(self, stage: str, tags: Sequence[str], values: Floats, *, steps: Sequence[int], times: Doubles) -> None:
        self._file(stage).add(tags, values, steps=steps, times=times)

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers that belong to no stage, by their whole names."""
        self.write(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)

    def log_table(self, tags: Sequence[str], values: Floats, *, steps: Sequence[int]) -> None:
        """Write many rows of such numbers at once, [rows, tags]."""
        self._add("", tags, values, steps=steps, times=np.full(len(steps), time.time()))

    def purge(self, epoch: int) -> None:
        """Drop what was written of that epoch and later, for a run that goes on from there."""
        self._goes_on = epoch > 0
        for events in {file.parent for file in Path(self.folder).rglob(EVENTS)}:
            purge(events, epoch)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        if self._goes_on:
            return
        config = vars(params) if isinstance(params, Namespace) else params
        keys = KEYS | self._varied()
        values = {name: v for name, v in _flat(config) if name in keys or name.partition(".")[0] in GROUPS}
        self.write(session_start(values))

    def _varied(self) -> set[str]:
        """What a sweep varies, where this is a trial's: without it two trials would look the same."""
        try:
            return set(read_trial(Path(self.folder).parent).values)
        except (OSError, ValueError):
            return set()

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Trace the network with one image, drawing no random number and leaving it as it was."""
        image = input_array if input_array is not None else getattr(model, "example_input_array", None)
        if not self._graph or self._goes_on or image is None:
            return
        network = getattr(model, "network", model)
        try:
            self.traced = _traced(network, image)
            self.write_graph(self.traced)
        except Exception as error:  # a network that can't be traced can be trained all the same
            log.warning("no graph in TensorBoard: %s", str(error).splitlines()[0])

    def write_graph(self, traced: Any) -> None:
        """Write a graph that was traced, here or by the logger of a network of the same shape."""
        if self._graph and not self._goes_on:
            definition, _ = traced
            event = Event(wall_time=time.time(), graph_def=definition.SerializeToString())
            self._file().add_event(event)

    def finalize(self, status: str) -> None:
        # Lightning calls each run failed that an exception ended; that of a pruner is no failure
        self.write(session_end("pruned" if isinstance(sys.exception(), PrunedRun) else status))

    def log_final(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the metrics of the final weights to HParams' own.

        Args:
            step: the one after the last, so that a resumed run writes them again.
        """
        self.log_scalars({f"final/{name}": value for name, value in metrics.items()}, step)

    def log_best(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add those of the best epoch: of a run that failed or was pruned too."""
        self.log_scalars({f"best/{name}": value for name, value in metrics.items()}, step)

    def close(self) -> None:
        """Nothing more is to come."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._writer = None


_graphs: dict[str, Any] = {}
"""Of networks that this process has met: the trials of a sweep have the same again and again."""
MOST_GRAPHS = 16


def _traced(network: nn.Module, image: Tensor) -> Any:
    # what is printed of known layers says all that the graph shows of them
    known = all(type(module).__module__.startswith(KNOWN_MODULES) for module in network.modules())
    key = f"{tuple(image.shape)} {network}" if known else ""
    if key in _graphs:
        return _graphs[key]
    training, like = network.training, next(network.parameters(), image)
    try:
        # torch prints what it cannot trace, where a command's result belongs
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # the tracer's, about shapes that it takes for constants
            image = image.to(like, copy=True)  # the first layer may write to it
            # tracing once more to compare would take as long again
            traced = torch.jit.trace(network.eval(), image, check_trace=False)  # type: ignore[no-untyped-call]
            found = graph(traced, image)  # type: ignore[no-untyped-call]
    finally:
        network.train(training)
    if key and len(_graphs) < MOST_GRAPHS:
        _graphs[key] = found
    return found


class _Writer(SummaryWriter):
    """Appends to a file that is open already, where torch's would begin one, and a thread, of its own."""

    file_writer: Any
    all_writers: Any

    def __init__(self, folder: str, file: EventFile) -> None:
        self._to = file
        super().__init__(folder)

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _Appends(self._to)
            self.all_writers = {self._to.get_logdir(): self.file_writer}
        return self.file_writer


class _Appends(FileWriter):
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | str | bool]]:
    """Names and values for HParams, which takes numbers, words and switches. A target goes by its class."""
    for name, value in config.items():
        if name == "_target_":
            yield prefix[:-1], str(value).rpartition(".")[2]
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (bool, int, float, str)):
            if not name.startswith("_"):
                yield f"{prefix}{name}", value
        elif value is not None:
            yield f"{prefix}{name}", str(value)
