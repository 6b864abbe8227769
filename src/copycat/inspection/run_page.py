"""A run on one page: what was asked, what came out and how sure that is, what it ran on, how to copy it."""

import shlex
from collections.abc import Iterator, Mapping
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

from copycat.config.errors import UserError
from copycat.config.hints import counted, first_line
from copycat.inspection.curves import LINES, curves
from copycat.inspection.page import Image, Page, Section, Table
from copycat.models.metrics import NAMES
from copycat.runs.figures import figure, text
from copycat.runs.folder import CONFIG, read_manifest
from copycat.runs.history import FILE as HISTORY
from copycat.runs.history import read_history
from copycat.runs.plain import read_file
from copycat.runs.shape import check_form

MOST = 2**20
"""Bytes of a config.yaml, at most."""
DRAWN = ("loss", "accuracy")
"""Metrics that have curves."""


def run_page(folder: Path) -> Page:
    """Made from the run's folder alone; nothing in it is built or run.

    Raises:
        UserError: where it is no run's.
    """
    try:
        manifest = read_manifest(folder)
        check_form(manifest)
        config = read_file(folder / CONFIG, most=MOST).decode(errors="replace")
        rows = read_history(folder) if (folder / HISTORY).exists() else []
    except (OSError, ValueError) as error:
        said = (error.strerror or "").lower() if isinstance(error, OSError) else first_line(error)
        raise UserError(f"{folder}: expected the folder of a run; {said}. See them: copycat runs.") from error
    sections = [
        *_metrics(manifest),
        *_curves(manifest, rows),
        _asked(manifest),
        _ran_on(manifest),
        *_data(manifest),
    ]
    if manifest["status"] == "completed":
        sections.append(Section(title="Run it again", code=f"copycat rerun {shlex.quote(str(folder))}"))
    elif manifest["status"] != "pruned":
        sections.append(Section(title="Go on with it", code=f"copycat resume {shlex.quote(str(folder))}"))
    sections.append(Section(title="Configuration", code=config))
    return Page(text(str(folder)), text(_summary(manifest)), sections)


def _summary(manifest: Mapping[str, Any]) -> str:
    came_out = manifest["came_out"]
    epochs = counted(came_out.get("epochs", 0), "epoch")
    words = [f"{manifest['status']} after {epochs}", f"started {manifest['started']}"]
    if manifest["seconds"] is not None:
        words.append(f"{manifest['seconds']:.1f} s")
    if manifest["error"]:
        words.append(str(manifest["error"]))
    if manifest["data"]["synthetic"]:
        words.append("on images that were drawn")
    return "; ".join(words)


def _metrics(manifest: Mapping[str, Any]) -> Iterator[Section]:
    came_out, images = manifest["came_out"], manifest["data"]["images"]
    best = came_out.get("best", {})
    columns = {
        "final": came_out.get("final", {}),
        f"epoch {best.get('epoch')}, best {best.get('monitor')}": best.get("metrics", {}),
    }
    places = [
        (title, part)
        for title, found in columns.items()
        for part in LINES
        if any(name.startswith(f"{part}/") for name in found)
    ]
    if not places:
        return
    rows = [
        [name, *(_cell(name, columns[title].get(f"{part}/{name}"), images.get(part, 0)) for title, part in places)]
        for name in ("loss", *NAMES)
    ]
    classes = manifest["data"]["classes"]
    note = "Accuracies with their 95 % interval, by Wilson's score: few images tell little."
    if len(classes) == 2:
        note += f" Precision, recall and f1 are of: {text(classes[1])}."
    head = ["metric", *(f"{part}, {text(title)}" for title, part in places)]
    yield Section(title="Metrics", note=note, table=Table(rows, head))


def _cell(name: str, value: float | None, images: int) -> str:
    if name != "accuracy" or value is None or not (images and 0 <= value <= 1):
        return figure(value)
    low, high = wilson(value, images)
    return f"{figure(value)} ({low:.2f} to {high:.2f} of {images})"


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of that many: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _curves(manifest: Mapping[str, Any], rows: list[dict[str, float]]) -> Iterator[Section]:
    drawn = [metric for metric in DRAWN if any(f"{part}/{metric}" in row for row in rows for part in LINES)]
    if not drawn:
        return
    best = manifest["came_out"].get("best", {})
    says = f"{' and '.join(drawn)} by epoch, from {rows[0]['epoch']:.0f} to {rows[-1]['epoch']:.0f}: "
    says += "; ".join(
        _course(rows, f"{part}/{metric}") for metric in drawn for part in LINES if _values(rows, f"{part}/{metric}")
    )
    yield Section(title="Curves", images=[Image(curves(rows, drawn, best=best.get("epoch")), f"{says}.")])


def _values(rows: list[dict[str, float]], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _course(rows: list[dict[str, float]], name: str) -> str:
    values = _values(rows, name)
    return f"{name} from {figure(values[0])} to {figure(values[-1])}"


def _asked(manifest: Mapping[str, Any]) -> Section:
    asked = manifest["asked"]
    rows = [["experiment", text(asked["experiment"])], ["overrides", text(" ".join(asked["overrides"])) or "none"]]
    return Section(title="What was asked", table=Table(rows))


def _ran_on(manifest: Mapping[str, Any]) -> Section:
    code, environment = manifest["ran_on"]["code"], manifest["ran_on"]["environment"]
    packages = environment.get("packages") or {}
    facts = {
        "commit": code.get("commit"),
        "changed since": ", ".join(code.get("dirty") or {}) or None,
        "Copycat": code.get("version"),
        "Python": environment.get("python"),
        **{name: packages.get(name) for name in ("torch", "pytorch-lightning", "numpy")},
        "platform": environment.get("platform"),
        "processor": environment.get("cpu"),
        "threads": environment.get("threads"),
        "accelerator": environment.get("accelerator"),
        "precision": environment.get("precision"),
    }
    rows = [[name, text(value)] for name, value in facts.items() if value not in (None, "")]
    return Section(title="What it ran on", note="The whole fingerprint is in run.json.", table=Table(rows))


def _data(manifest: Mapping[str, Any]) -> Iterator[Section]:
    data = manifest["data"]
    rows = [["classes", text(", ".join(data["classes"]))]]
    rows += [[f"{part} images", str(count)] for part, count in data["images"].items()]
    yield Section(title="Data", note=text("; ".join(data["warnings"])), table=Table(rows))
