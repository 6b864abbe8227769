"""Hold the trials of a pack, record and save each, and end each at its own time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from math import isfinite
from threading import Event

from torch import Tensor

from copycat.models.divergence import DivergedError, divergence_error
from copycat.models.metrics import Row
from copycat.sweeps.packed.optimizer import group_by_rule
from copycat.sweeps.packed.trial_session import TrialSession, UndefinedMetricError
from copycat.training.result import RunResult
from copycat.training.stopping import TIME_LIMIT

VAL_LOSS = "val/loss"
End = tuple[str, str | None]
"""Status of a trial that ends, and the reason."""


class ActiveTrials:
    """Hold the sessions of a pack, grouped by update rule, and know which of them still train.

    `pool` writes the last records of a session that ended; then `on_end` is called with its result.
    """

    def __init__(
        self, sessions: Sequence[TrialSession], *, on_end: Callable[[TrialSession, RunResult], None], pool: Executor
    ) -> None:
        """Start with all trials active."""
        kinds = group_by_rule([session.trainable for session in sessions])
        self.sessions = [sessions[place] for places in kinds for place in places]
        """By their places in the stack."""
        self.on_end, self.pool = on_end, pool
        self._ended = {place for place, session in enumerate(self.sessions) if session.trial.is_placeholder}
        self._note_stack()
        self._ending: list[tuple[TrialSession, Future[RunResult]]] = []

    @property
    def first(self) -> TrialSession:
        """Return a session that stands for all, in what they have in common."""
        return self.sessions[0]

    @property
    def places(self) -> list[int]:
        """Return the places of the trials that still train."""
        return [place for place in range(len(self.sessions)) if place not in self._ended]

    def items(self) -> list[tuple[int, TrialSession]]:
        """Return the trials that still train, with their places."""
        return [(place, self.sessions[place]) for place in self.places]

    def record(self, first: int, losses: Tensor, rows: Sequence[Row], validated: Mapping[int, Sequence[Row]]) -> None:
        """Write the metrics of consecutive epochs; trials leave before the epoch of a loss that is not finite.

        Args:
            first: the first epoch.
            losses: [epochs, steps, trials].
            rows: a row per epoch and trial, those of an epoch together.
            validated: validation metrics of each trial, by epoch.
        """
        for place, session in self.items():
            session.classifier.train_metrics.last_loss = losses[-1, -1, place]
            own = list(rows[place :: len(self.sessions)])
            for epoch, val_rows in validated.items():
                own[epoch - first] = {**own[epoch - first], **val_rows[place]}
            diverged = _find_divergence(first, losses[:, :, place], {e: each[place] for e, each in validated.items()})
            if diverged is not None:
                own = own[: diverged[0] - first]
            if own:
                session.recorder.log(first, own)
                session.checkpoints.complete_best(first, own)
                session.metrics |= own[-1]
            if diverged is not None:
                epoch, failure = diverged
                self.end({place: ("failed", str(failure))}, epoch)

    def has_diverged(self, losses: Tensor, rows: Sequence[Row]) -> bool:
        """Return whether a trial that still trains has a loss that is not finite.

        Args:
            losses: of the last step, [trials].
            rows: of its validation, one per trial.
        """
        finite = losses.isfinite().tolist()
        return not all(finite[place] and isfinite(rows[place][VAL_LOSS]) for place in self.places)

    def save(self, epoch: int) -> None:
        """Save the checkpoints of all active trials; one that cannot be saved fails.

        The checkpoints before are all on disk by then: however the process is killed, all trials have one of an epoch
        in common, from which they resume together.
        """
        self._wait_for_ended()
        jobs: list[tuple[int, TrialSession, Callable[[], object]]] = [
            *((place, session, session.recorder.writer.wait) for place, session in self.items()),
            *((place, session, partial(session.save, epoch)) for place, session in self.items()),
        ]
        for place, session, do in jobs:
            try:
                if place not in self._ended:
                    do()
            except (DivergedError, OSError) as failure:
                self.end({place: ("failed", session.recorder.describe(failure))}, epoch)

    def decide_ends(self, epoch: int, *, validated: bool, is_last: bool) -> dict[int, End]:
        """Decide by the present metrics which trials end after this many epochs, by place."""
        ends: dict[int, End] = {}
        for place, session in self.items():
            pruner = session.trial.pruner if validated and not is_last else None
            if session.is_late and not is_last:
                ends[place] = "failed", f"{TIME_LIMIT}: it took more than {session.trial.settings['max_seconds']:g} s"
                continue
            try:
                if session.end_epoch(epoch - 1, validated=validated):
                    ends[place] = "completed", None
                elif pruner and (reason := pruner(epoch - 1, session.metrics)):
                    ends[place] = "pruned", reason
                elif session.is_spent and not is_last:
                    session.ends_early = True
                    ends[place] = "completed", None
            except UndefinedMetricError as failure:
                ends[place] = "failed", session.recorder.describe(failure)
        return ends

    def end(self, ends_by_place: Mapping[int, End], epoch: int) -> None:
        """End trials.

        Raises:
            InterruptedRun: if a signal could not wait; trials without final metrics stay active.
        """
        self._wait_for_ended()
        others = set(self.places) - ends_by_place.keys()
        ends = []
        try:
            for place, (status, reason) in ends_by_place.items():
                session = self.sessions[place]
                session.sync()
                if others:
                    session.detach()
                ends.append((session, session.end(status, reason, epoch)))
                self._ended.add(place)
        finally:
            # after all final metrics, since writing threads would slow each of their operations down
            for session, _ in ends:
                self.pool.submit(session.save_last)
            saved = [session.is_saved for session, _ in ends]
            self._ending += [(session, self.pool.submit(_after, saved, end)) for session, end in ends]

    def _wait_for_ended(self) -> None:
        """Wait for the last checkpoints of trials that ended before, since no other trial's may be ahead of them.

        After a kill a trial without one would train again, without those that are ahead: in a smaller pack, whose bits
        may be others.
        """
        for session, _ in self._ending:
            session.is_saved.wait()

    def end_all(self, status: str, reason: str | None, epoch: int) -> None:
        """End all active trials with one status, and report them once their last records are written."""
        self.end(dict.fromkeys(self.places, (status, reason)), epoch)
        self.report_ended(wait=True)

    def report_ended(self, *, wait: bool = False) -> None:
        """Report trials that ended, once their last records are written."""
        while self._ending and (wait or self._ending[0][1].done()):
            session, ended = self._ending.pop(0)
            self.on_end(session, ended.result())

    def stacked_places(self, epoch: int) -> list[int]:
        """Return the places that a stack needs after this many epochs: of all trials that had not ended by then.

        Placeholders for trials that ended between the last save of a pack and its kill are among them, so that the
        pack is rebuilt at the epochs at which it was before.
        """
        later = {p for p in self._ended if (self.sessions[p].trial.ended_after or 0) > epoch}
        return sorted({*self.places, *later})

    def drop_ended(self, epoch: int) -> list[int]:
        """Drop the trials that had ended after this many epochs, and return the former places of the others."""
        places = self.stacked_places(epoch)
        self._ended = {new for new, place in enumerate(places) if place in self._ended}
        self.sessions = [self.sessions[place] for place in places]
        self._note_stack()
        return places

    def _note_stack(self) -> None:
        """Let checkpoints name the trials in the stack, so that a pack resumes with as many."""
        numbers = [session.trial.job.number for session in self.sessions]
        for session in self.sessions:
            session.checkpoints.stack = numbers


def _after(saved: Sequence[Event], end: Callable[[], RunResult]) -> RunResult:
    """Write the last records of a trial once all that end with it have saved: until then it may train again."""
    for each in saved:
        each.wait()
    return end()


def _find_divergence(first: int, losses: Tensor, validated: Mapping[int, Row]) -> tuple[int, DivergedError] | None:
    """Return the first epoch with a loss that is not finite, and the error of a run alone; None where there is none.

    Args:
        first: the first epoch.
        losses: of a trial's steps, [epochs, steps].
        validated: its validation metrics, by epoch in order.
    """
    errors = {
        epoch: DivergedError(f"{VAL_LOSS} of epoch {epoch} is {row[VAL_LOSS]}")
        for epoch, row in validated.items()
        if not isfinite(row[VAL_LOSS])
    }
    steps = losses.isfinite().logical_not().nonzero()
    if len(steps):
        place, batch = steps[0].tolist()
        errors[first + place] = divergence_error(first + place, batch, losses[place, batch])  # before its validation
    return min(errors.items(), default=None)
