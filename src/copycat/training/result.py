"""Represent the result of a run."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copycat.config.suggestions import describe_error
from copycat.models.divergence import DivergedError
from copycat.training.stopping import TimeLimitError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """Hold the result of a run: its status, manifest and folder."""

    folder: Path
    status: str
    """`completed`, `pruned`, `failed` or `interrupted`."""
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def objective(self) -> float | None:
        """Return the best value of the monitored metric, the objective of a sweep."""
        best = self.manifest["results"].get("best", {})
        value: float | None = best["metrics"][best["monitor"]] if best else None
        return value

    @property
    def best(self) -> Mapping[str, float]:
        """Return the metrics of the best epoch."""
        return best_metrics(self.manifest)


def best_metrics(manifest: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the metrics of the best epoch; empty where there is none."""
    metrics: Mapping[str, float] = manifest["results"].get("best", {}).get("metrics", {})
    return metrics


def describe(failure: BaseException, folder: Path) -> str:
    """Return the reason of a run's failure in one line; the traceback goes to train.log."""
    if isinstance(failure, (DivergedError, TimeLimitError)):  # not errors of code: no traceback
        return str(failure)
    log.error("%s: the run failed", folder, exc_info=failure)
    if not folder.is_dir():
        return f"{folder}: the run folder is gone"
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.strerror}: {failure.filename or folder}"
    return describe_error(failure)
