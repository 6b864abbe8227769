"""Buffer the steps of epochs that are not logged yet."""

import torch
from torch import Tensor

from copycat.models.classifier import Classifier
from copycat.models.evaluator import Evaluated
from copycat.models.metrics import Row
from copycat.models.stage_metrics import EpochSteps
from copycat.training.checkpoint_io import is_finite
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.lightning_internals import Position


class EpochBuffer:
    """Collect the steps of consecutive epochs, and log those epochs together."""

    def __init__(self, classifier: Classifier, last: LastCheckpoint, start: Position) -> None:
        """Start with an empty buffer."""
        self.classifier, self.last = classifier, last
        self.first = start.epoch  # epoch of the first step
        self.handed_over = start.batch  # number of batches before those in `steps`
        self.steps = EpochSteps()  # steps of the epoch in progress
        self.ended: list[EpochSteps] = []  # steps of each completed epoch, from `first` on
        self.validated: dict[int, Row | Evaluated] = {}  # metrics of validations, by epoch, or their outputs
        self._checked = (0, 0)  # numbers of completed epochs, and of losses after them, that are known to be finite

    def latest_loss(self) -> Tensor | None:
        """Return the loss of the last step in the buffer."""
        losses = self.steps.losses or (self.ended[-1].losses if self.ended else [])
        return losses[-1] if losses else None

    def end_epoch(self) -> None:
        """Close the epoch in progress; log it where some of its steps were passed on."""
        if not self.classifier.metrics["train"].batches:
            self.ended.append(self.steps)
            self.steps, self.handed_over = EpochSteps(), 0
            return
        self.hand_over()
        row = {**self.classifier.finish_epoch(), **self._finish_validations().get(self.first, {})}
        self.classifier.log_epochs(self.first, [row])
        self.start_at(self.first + 1)

    def start_at(self, epoch: int) -> None:
        """Start an epoch after all before it were logged."""
        self.first, self.handed_over = epoch, 0

    def log(self) -> None:
        """Log all completed epochs."""
        if not self.ended:
            return
        rows, validated = self.classifier.train_metrics.finish_epochs(self.ended), self._finish_validations()
        for place, row in enumerate(rows, self.first):
            row |= validated.get(place, {})
        self.last.complete_pending(self.first, rows, [steps.losses[-1] for steps in self.ended])
        self.ended.clear()
        self._checked = (0, 0)
        self.classifier.log_epochs(self.first, rows)
        self.first += len(rows)

    def score(self) -> None:
        """Compute the metrics of all validations in the buffer."""
        self.validated = dict(self._finish_validations())

    def _finish_validations(self) -> dict[int, Row]:
        """Return and drop the metrics of all validations, by epoch."""
        found = {epoch: found for epoch, found in self.validated.items() if isinstance(found, Evaluated)}
        rows = {epoch: row for epoch, row in self.validated.items() if not isinstance(row, Evaluated)}
        if found:
            rows |= zip(found, self.classifier.finish_validations(list(found.values())), strict=True)
        self.validated = {}
        return rows

    def hand_over(self) -> None:
        """Pass the steps of the epoch in progress to the classifier."""
        steps, self.steps = self.steps, EpochSteps()
        self._checked = (len(self.ended), 0)
        self.handed_over += len(steps.losses)
        for loss, probability, label in zip(steps.losses, steps.probabilities, steps.labels, strict=True):
            self.classifier.train_metrics.record(loss, probability, label)

    def has_failed(self) -> bool:
        """Return whether a loss since the last call is not finite."""
        ended, known = self._checked
        losses = [loss for steps in (*self.ended[ended:], self.steps) for loss in steps.losses][known:]
        self._checked = len(self.ended), len(self.steps.losses)
        if not losses:
            return False
        return not is_finite(losses[0] if len(losses) == 1 else torch.stack(losses))

    def first_failure(self) -> tuple[Position, Tensor] | None:
        """Return position and value of the first loss that is not finite; None where there is none."""
        epochs = [*self.ended, self.steps]
        losses = [loss for steps in epochs for loss in steps.losses]
        if not losses:
            return None
        is_finite = torch.stack(losses).isfinite()
        if is_finite.all():
            return None
        place = int((~is_finite).nonzero()[0])
        for epoch, steps in enumerate(epochs, self.first):
            if place < len(steps.losses):
                before = self.handed_over if steps is self.steps else 0
                return Position(epoch, before + place), steps.losses[place]
            place -= len(steps.losses)
        raise AssertionError

    def drop_from(self, epoch: int) -> None:
        """Drop all steps from this epoch on."""
        del self.ended[epoch - self.first :]
        self.validated = {place: row for place, row in self.validated.items() if place < epoch}
        self.steps, self._checked = EpochSteps(), (0, 0)
