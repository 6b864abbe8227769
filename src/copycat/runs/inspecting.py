"""What callbacks that look at a run are shown, before its first step and after its last: alone or in a pack."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.part import Part
from copycat.models.classifier import Classifier
from copycat.runs.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class View:
    """A run as it begins, or as its last step is done."""

    folder: Path
    classifier: Classifier
    data: DataModule
    loggers: Sequence[Any]
    epochs: int = 0
    """That are done."""
    said: Tensor = torch.empty(0)  # noqa: RUF009, nobody writes to it
    """[N] of class 1, or [N, classes]: probabilities that the final weights give the validation images."""

    @property
    def probabilities(self) -> Tensor:
        """float32 [N, classes], on the CPU."""
        return by_class(self.said).float()


def by_class(said: Tensor) -> Tensor:
    """What a network said, [N] of class 1 or [N, classes], as [N, classes] on the CPU: float64 where it is that, else
    float32.
    """
    found = said.detach().cpu()
    found = found if found.dtype == torch.float64 else found.float()
    return torch.stack([1 - found, found], dim=1) if found.ndim == 1 else found


def predicted(part: Part, said: Tensor) -> Predictions:
    """As predictions.csv holds them.

    Args:
        said: [N] of class 1, or [N, classes].
    """
    return Predictions(part.labels.numpy(), by_class(said).numpy())


@runtime_checkable
class Looks(Protocol):
    """A callback that is shown the run as a whole."""

    def begun(self, view: View) -> None:
        """Before the first step; not again where a run goes on."""

    def completed(self, view: View) -> None:
        """After the final weights were evaluated."""


def show_begun(callbacks: Iterable[Any], view: View) -> None:
    for callback in callbacks:
        if isinstance(callback, Looks):
            callback.begun(view)


def show_completed(callbacks: Iterable[Any], view: View) -> None:
    for callback in callbacks:
        if isinstance(callback, Looks):
            callback.completed(view)


def finish(loggers: Iterable[Any], best: Mapping[str, float] = {}, *, step: int = 0) -> None:
    """Hand loggers the metrics of the best epoch, the last that is known of a run, and let them close their files.

    Args:
        step: the one after the last.
    """
    for logger in loggers:
        if best and hasattr(logger, "log_best"):
            with suppress(OSError):  # what matters of them lies in run.json
                logger.log_best(best, step=step)
        if hasattr(logger, "close"):
            logger.close()
