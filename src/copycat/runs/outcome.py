"""How a run ended: what its manifest says last, and what lies in its folder then."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from copycat.config.errors import UserError
from copycat.runs.checkpoint_file import save_weights
from copycat.runs.digests import digest_files
from copycat.runs.folder import WEIGHTS, write_manifest
from copycat.runs.history import FILE as HISTORY
from copycat.runs.history import History, history_digest, rows_of
from copycat.runs.isolation import LOG, end_log
from copycat.runs.manifest import best_epoch, now


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
        best = self.manifest["came_out"].get("best", {})
        value: float | None = best["metrics"][best["monitor"]] if best else None
        return value

    @property
    def best(self) -> Mapping[str, float]:
        """Metrics of the best epoch."""
        return best_metrics(self.manifest)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is known of a run as it ends."""

    status: str
    error: str | None
    steps: int
    seconds: float
    monitor: str
    """The metric that is best at the best epoch, by `mode`."""
    mode: str


def conclude(folder: Path, manifest: dict[str, Any], network: nn.Module, history: History, ending: Ending) -> None:
    """Write the last records of a run but for its manifest.

    Raises:
        OSError: where the history, or the weights, cannot be read or written.
    """
    came_out = manifest["came_out"]
    history.finalize(ending.status)
    came_out["parameters"] = sum(p.numel() for p in network.parameters())
    written = (folder / HISTORY).read_bytes()
    came_out["epochs"], came_out["steps"] = written.count(b"\n") - 1, ending.steps
    came_out["history_digest"] = history_digest(written)
    came_out["best"] = best_epoch(rows_of(written, having=ending.monitor), monitor=ending.monitor, mode=ending.mode)
    if ending.status == "completed":
        came_out["weights_digest"] = save_weights(network.state_dict(), folder / WEIGHTS)


def best_metrics(manifest: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the metrics of the best epoch; empty where there is none."""
    found: Mapping[str, float] = manifest["came_out"].get("best", {}).get("metrics", {})
    return found


def close(folder: Path, manifest: dict[str, Any], ending: Ending) -> Outcome:
    """Write the manifest as a run leaves it, with the digests of its files: nothing is written to them from here on."""
    end_log(folder / LOG)
    seconds = round(ending.seconds, 3)
    manifest |= {"status": ending.status, "error": ending.error, "ended": now(), "seconds": seconds}
    with suppress(OSError, UserError):
        manifest["files"] = digest_files(folder)
    with suppress(OSError):  # where nothing can be written any more, the outcome still says so
        write_manifest(folder, manifest)
    return Outcome(folder, ending.status, manifest)
