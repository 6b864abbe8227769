"""Make, restore and write the checkpoints of a trial of a pack, in the format of a single run."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from torch.optim import Optimizer

from copycat.models.metrics import Row
from copycat.records.checkpoint_file import copy, keep_previous
from copycat.sweeps.packed.preparation import STACK
from copycat.sweeps.packed.unlike_network import REFERENCE
from copycat.training.best_checkpoint import BestCheckpoint
from copycat.training.checkpoint_io import deep_copy
from copycat.training.checkpoints import BEFORE, CHECKPOINT_KEY
from copycat.training.lightning_internals import Position, set_global_step_of_state, set_position
from copycat.training.recorder import RunRecorder

SPAN = "pack_span"
"""Key of the coordinates of first weights, in Copycat's entry of a checkpoint."""
LIGHTNING = version("pytorch-lightning")
State = dict[str, Any]
"""Content of a Lightning checkpoint, without the state of Lightning's loops."""


class TrialCheckpoints:
    """Write the last checkpoint of a trial, and the best one when there is a new one."""

    def __init__(
        self,
        recorder: RunRecorder,
        optimizer: Optimizer,
        scheduler: Any,
        loops: Mapping[str, Any],
        *,
        span: dict[str, Tensor],
    ) -> None:
        """Find the callbacks that have a state; `span` has the coordinates of first weights, where a pack has any."""
        self.span = span
        self.recorder, self.classifier = recorder, recorder.classifier
        self.optimizer, self.scheduler = optimizer, scheduler
        self.best = next((c for c in recorder.callbacks if isinstance(c, BestCheckpoint)), None)
        self.early_stops = [c for c in recorder.callbacks if type(c) is EarlyStopping]
        self._callbacks = [callback for callback in (self.best, *self.early_stops) if callback is not None]
        self._loops = loops
        """State of Lightning's loops at the start of a run."""
        self.stack: list[int] = []
        """Numbers of the trials in the stack, by place; those that have ended too."""
        self.new_best: State | None = None
        """Best state since the last `write`."""

    def make_state(self, epoch: int, *, steps: int, metrics: Row, finished: bool) -> State:
        """Copy the present state, after this many optimizer steps."""
        state: State = {
            "epoch": epoch,
            "global_step": steps,
            "pytorch-lightning_version": LIGHTNING,
            # network and loss alone: the metrics of a classifier have no state, and are slow to ask
            "state_dict": self.classifier.network.state_dict(prefix="network.")
            | self.classifier.loss.state_dict(prefix="loss."),
            "optimizer_states": [self.optimizer.state_dict()],
            "lr_schedulers": [self.scheduler.state_dict()],
            "callbacks": {callback.state_key: callback.state_dict() for callback in self._callbacks},
            CHECKPOINT_KEY: self.recorder.last.copycat_state(Position(epoch), metrics, finished=finished),
        }
        state[CHECKPOINT_KEY][STACK] = self.stack
        if self.span:  # the first weights themselves are drawn again
            state[CHECKPOINT_KEY][SPAN] = {name: value for name, value in self.span.items() if name != REFERENCE}
        self.classifier.on_save_checkpoint(state)
        snapshot: State = deep_copy(state)
        return snapshot

    def complete_best(self, first: int, rows: Sequence[Row]) -> None:
        """Add training metrics of the epochs from `first` on to the best state, taken before they were known."""
        place = -1 if self.new_best is None else self.new_best["epoch"] - 1 - first
        if self.new_best is not None and 0 <= place < len(rows):
            train = {name: float(value) for name, value in rows[place].items() if name.startswith("train/")}
            self.new_best[CHECKPOINT_KEY]["callback_metrics"] |= train

    def restore(self, state: State) -> Row:
        """Restore a state, and return its metrics."""
        ours = state[CHECKPOINT_KEY]
        if SPAN in ours:
            self.span.update({**ours[SPAN], REFERENCE: next(self.classifier.network.parameters()).detach().clone()})
        self.classifier.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer_states"][0])
        self.scheduler.load_state_dict(state["lr_schedulers"][0])
        self.classifier.on_load_checkpoint(state)
        for callback in self._callbacks:
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        self.recorder.last.add_seconds(ours["seconds"])
        return dict(ours["callback_metrics"])

    def write(self, last: State | None) -> None:
        """Write the best state if there is a new one, and the last if it is not None.

        Raises:
            DivergedError: if a weight is not finite; the previous checkpoint stays.
        """
        clock, disk = self.recorder.last, self.recorder.writer
        best, self.new_best = self.new_best, None
        is_last = last is not None and best is not None and best["epoch"] == last["epoch"]
        if self.best is not None and best is not None and not is_last:
            clock.files.save_checkpoint(self._add_loops(best), self.best.path)
        if last is None:
            return
        for logger in self.recorder.loggers:
            logger.save()
        clock.add_rows_digest(last)
        disk.submit(partial(keep_previous, clock.path, clock.path.with_name(BEFORE)))
        clock.files.save_checkpoint(self._add_loops(last), clock.path)
        if self.best is not None and is_last:
            disk.submit(partial(copy, clock.path, self.best.path))

    def _add_loops(self, state: State) -> State:
        own: dict[str, Any] = deep_copy(self._loops)
        set_position(own, Position(state["epoch"]))
        set_global_step_of_state(own, state["global_step"])
        return {**state, "loops": own}
