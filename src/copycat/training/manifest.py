"""Make the content of run.json as a run starts and ends. docs/reference/run-folder.md names every key."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from math import isfinite, nan
from pathlib import Path
from typing import Any

from torch import nn

from copycat.config.compose import Request
from copycat.data.datamodule import DataModule
from copycat.data.labels import majority
from copycat.data.quality import check_data
from copycat.provenance.backbone import store_backbone
from copycat.provenance.fingerprint import fingerprint
from copycat.records.digests import key_digests
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import history_digest, parse_rows


def make_manifest(
    request: Request,
    data: DataModule,
    *,
    config: bytes,
    network: nn.Module,
    copy_of: Mapping[str, Any] | None = None,
    provenance_from: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the manifest of a run that starts now.

    The provenance is that of this process, or of a run that started in it on the same data.
    """
    backbone = store_backbone(network)
    if provenance_from is None:
        provenance = {**fingerprint(request.config), "data": data.fingerprint(), **backbone}
        warnings = check_data(data).warnings
    else:
        provenance, warnings = {**provenance_from["provenance"], **backbone}, provenance_from["data"]["warnings"]
    return {
        "status": "running",
        "error": None,
        "started": now(),
        "ended": None,
        "seconds": None,
        "request": {
            "experiment": request.experiment,
            "overrides": list(request.overrides),
            "config_digest": blake2b(config, digest_size=16).hexdigest(),
            "config_keys": key_digests(request.config),
            "copy_of": copy_of,
        },
        "provenance": provenance,
        "data": {
            "source": request.config["data"]["_target_"],
            "synthetic": data.source.synthetic,
            "classes": list(data.classes),
            **({"multi_label": True} if data.is_multi_label else {}),
            "image_shape": list(data.image_shape),
            "images": {name: len(part) for name, part in data.parts.items()},
            **({"groups": groups} if (groups := _count_groups(data)) else {}),
            "majority": {name: majority(part.labels, len(data.classes)) for name, part in data.parts.items()},
            "warnings": warnings,
        },
        "results": {},
        "files": {},
        "resumed": [],
    }


def summarize_history(folder: Path, *, steps: int, monitor: str, mode: str, every_n_epochs: int = 1) -> dict[str, Any]:
    """Return the results that a run's metrics.csv gives: epochs, digest, and the best epoch by a metric.

    `every_n_epochs` is the period of best.ckpt, so that both name the same epoch.
    """
    written = (folder / HISTORY).read_bytes()
    rows = parse_rows(written, having=monitor)
    compared = [row for row in rows if (row["epoch"] + 1) % every_n_epochs == 0]
    return {
        "epochs": written.count(b"\n") - 1,
        "steps": steps,
        "history_digest": history_digest(written),
        "best": best_epoch(compared or rows, monitor=monitor, mode=mode),
    }


def best_epoch(rows: Sequence[Mapping[str, float]], *, monitor: str, mode: str) -> dict[str, Any]:
    """Return the row with the best value of a metric, by the mode `min` or `max`; empty where no row has it."""
    candidates = [row for row in rows if isfinite(row.get(monitor, nan))]
    if not candidates:
        return {}
    sign = 1 if mode == "min" else -1
    row = min(candidates, key=lambda row: sign * row[monitor])
    metrics = {name: value for name, value in row.items() if name != "epoch" and isfinite(value)}
    return {"monitor": monitor, "mode": mode, "epoch": int(row["epoch"]), "metrics": metrics}


def _count_groups(data: DataModule) -> dict[str, int]:
    """Return the number of groups in each part, where the source has groups."""
    return {name: len(set(part.groups)) for name, part in data.parts.items() if part.groups is not None}


def now() -> str:
    """Return the time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
