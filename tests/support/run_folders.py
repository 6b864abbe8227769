"""Write run folders without training, change them, and read them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import write_manifest


def write_run(
    folder: Path,
    *,
    status: str = "completed",
    overrides: Sequence[str] = (),
    final: Mapping[str, float] | None = None,
    best: Mapping[str, float] | None = None,
    started: str = "2026-11-24T00:00:00.000+00:00",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a run folder that holds nothing but a manifest with all required keys."""
    manifest: dict[str, Any] = {
        "schema": 2,
        "status": status,
        "error": "it went wrong" if status == "failed" else None,
        "started": started,
        "ended": None,
        "seconds": 1.5,
        "request": {"experiment": "default", "overrides": list(overrides), "config_digest": ""},
        "provenance": {"code": {"version": "1"}, "environment": {"threads": 1}, "data": {}},
        "data": {"source": "", "synthetic": False, "classes": [], "images": {}, "warnings": [], **(data or {})},
        "results": {"epochs": 3, "final": dict(final or {})},
    }
    if best:
        manifest["results"]["best"] = {"monitor": "val/loss", "mode": "min", "epoch": 1, "metrics": dict(best)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(manifest))


def remove_metric(folder: Path, metric: str) -> None:
    """Remove a metric's columns from metrics.csv, as in a run of a Copycat that did not compute it."""
    header, *rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(header) if not name.endswith(f"/{metric}")]
    lines = [",".join(row[place] for place in kept) for row in [header, *rows]]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a run's run.json by a function that edits it in place."""
    manifest = json.loads((folder / "run.json").read_text())
    change(manifest)
    (folder / "run.json").write_text(json.dumps(manifest))


def forget_digest_of_weights(folder: Path) -> None:
    """Remove the digest of a run's weights, as in a run of a Copycat that recorded none."""
    manifest = json.loads((folder / "run.json").read_text())
    manifest["results"].pop("weights_digest")
    manifest["files"].pop("weights.safetensors")
    write_manifest(folder, manifest)  # signed


def strip_signature(folder: Path) -> None:
    """Remove a run's signature, which makes it untrusted."""
    change_manifest(folder, lambda manifest: manifest.pop("signature"))


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a run's config.yaml by a function that edits it in place."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def find_newest_run(root: Path) -> Path:
    """Return the run folder below `root` whose run.json was written last."""
    return max(root.rglob("run.json"), key=lambda file: file.stat().st_mtime_ns).parent


def find_only_run(root: Path) -> Path:
    """Return the run folder below `root`, which must be the only one."""
    (manifest,) = root.rglob("run.json")
    return manifest.parent


def read_training_losses(folder: Path) -> list[float]:
    """Return the training loss of each row of metrics.csv."""
    return [row["train/loss"] for row in read_history(folder)]


def assert_same_bits(folder: Path, other: Path, names: Iterable[str] = ("metrics.csv", "weights.safetensors")) -> None:
    """Require that files of two run folders hold the same bytes."""
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
