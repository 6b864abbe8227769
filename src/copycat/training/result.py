"""How a run ended."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.suggestions import describe_error
from copycat.models.classifier import DivergedError
from copycat.training.stopping import TimeLimitError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and where its records lie."""

    folder: Path
    status: str
    """`completed`, `pruned`, `failed` or `interrupted`."""
    manifest: Mapping[str, Any]

    @property
    def objective(self) -> float | None:
        """What a sweep goes by: the best value of the monitored metric."""
        best = self.manifest["results"].get("best", {})
        value: float | None = best["metrics"][best["monitor"]] if best else None
        return value

    @property
    def best(self) -> Mapping[str, float]:
        """Metrics of the best epoch."""
        return best_metrics(self.manifest)


def best_metrics(manifest: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the metrics of the best epoch; empty where there is none."""
    found: Mapping[str, float] = manifest["results"].get("best", {}).get("metrics", {})
    return found


def describe(failure: Exception, folder: Path) -> str:
    """Return one line about why the run of that folder failed; the traceback goes to train.log."""
    if isinstance(failure, (DivergedError, TimeLimitError)):  # of the training, and of no code
        return str(failure)
    log.error("%s: the run failed", folder, exc_info=failure)
    if not folder.is_dir():
        return f"{folder}: the run folder is gone"
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.strerror}: {failure.filename or folder}"
    return describe_error(failure)
