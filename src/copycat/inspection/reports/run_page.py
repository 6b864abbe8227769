"""A run on one page: what was asked, what came out and how sure that is, what it ran on, how to copy it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.printable import printable
from copycat.config.suggestions import counted
from copycat.inspection.callbacks.confusion import confusion
from copycat.inspection.callbacks.contact_sheet import SIDE, Picture, png_of, sheet
from copycat.inspection.callbacks.weights import weight_images
from copycat.inspection.reports.gallery_file import TITLES, Shown, read_gallery
from copycat.inspection.reports.intervals import bootstrap
from copycat.inspection.reports.page import Image, Page, Section, Table
from copycat.models.metrics import NAMES
from copycat.records.lock import RUNNING, current_status
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_history
from copycat.records.predictions import Predictions, find_training_copies, read_predictions
from copycat.records.reader import check_files, not_a_run, read_checked_manifest, read_config
from copycat.records.run_folder import WEIGHTS
from copycat.records.safe_tensors import read_weights
from copycat.tables.statistics import figure, wilson

DRAWN = ("loss", "accuracy")
"""Metrics that have curves."""
PARTS = ("train", "val", "test")
MOST_CLASSES = 20
"""In a confusion matrix."""
MOST_BYTES = 2**31
"""Of weights, whose first layer is drawn."""


def run_page(folder: Path) -> Page:
    """Made from the run's folder alone; nothing in it is built or run.

    Raises:
        UserError: where it is no run's.
    """
    try:
        if folder.is_dir():
            check_files(folder)
        manifest = read_checked_manifest(folder)
        config = read_config(folder).decode(errors="replace")
        rows = read_history(folder) if (folder / HISTORY).exists() else []
        gallery = read_gallery(folder)
        predictions = read_predictions(folder, classes=len(manifest["data"]["classes"]))
    except (OSError, ValueError) as error:
        raise not_a_run(folder, error) from error
    manifest["status"] = current_status(manifest["status"], folder)
    sections = [
        *_metrics(manifest, predictions),
        *_curves(manifest, rows),
        *_judged(manifest, predictions, find_training_copies(folder, predictions)),
        *_gallery(gallery),
        *_weights(folder, manifest),
        *_timing(manifest),
        _asked(manifest),
        _ran_on(manifest),
        *_data(manifest),
    ]
    if manifest["status"] == "completed":
        sections.append(Section(title="Run it again", code=f"copycat rerun {shlex.quote(str(folder))}"))
    elif manifest["status"] not in ("pruned", RUNNING):
        sections.append(Section(title="Go on with it", code=f"copycat resume {shlex.quote(str(folder))}"))
    sections.append(Section(title="Configuration", code=config))
    return Page(str(folder), _summary(manifest, epochs=len(rows)), sections)


def _summary(manifest: Mapping[str, Any], *, epochs: int) -> str:
    """Args:
    epochs: that metrics.csv has: of a run that was not brought to its end the manifest has none.
    """
    epochs = manifest["results"].get("epochs", epochs)
    words = [f"{manifest['status']} after {counted(epochs, 'epoch')}", f"started {manifest['started']}"]
    if manifest["seconds"] is not None:
        words.append(f"{manifest['seconds']:.1f} s")
    if manifest["error"]:
        words.append(str(manifest["error"]))
    if manifest["data"]["synthetic"]:
        words.append("on images that were drawn")
    return "; ".join(words)


def _metrics(manifest: Mapping[str, Any], predictions: Mapping[str, Predictions]) -> Iterator[Section]:
    came_out, images = manifest["results"], manifest["data"]["images"]
    best = came_out.get("best", {})
    columns = {
        "final": came_out.get("final", {}),
        f"epoch {best.get('epoch')}, best {best.get('monitor')}": best.get("metrics", {}),
    }
    places = [
        (title, part)
        for title, found in columns.items()
        for part in PARTS
        if any(name.startswith(f"{part}/") for name in found)
    ]
    if not places:
        return
    sure = {("final", part): bootstrap(said.probability, said.label) for part, said in predictions.items()}
    rows = []
    for name in ("loss", *NAMES):
        cells = []
        for title, part in places:
            value, count = columns[title].get(f"{part}/{name}"), images.get(part, 0)
            interval = sure.get((title, part), {}).get(name)
            if name == "accuracy" and value is not None and count and 0 <= value <= 1:
                interval = wilson(value, count)
            cells.append(_cell(value, interval, count))
        rows.append([name, *cells])
    classes = manifest["data"]["classes"]
    few = ", ".join(f"{images[part]} {part}" for part in PARTS if part != "train" and images.get(part))
    note = f"95 % intervals, accuracy by Wilson's score, others by bootstrap: {few} images tell no more than that."
    if len(classes) == 2:
        note += f" Precision, recall and f1 are of: {classes[1]}."
    head = ["metric", *(f"{part}, {title}" for title, part in places)]
    yield Section(title="Metrics", note=note, table=Table(rows, head))


def _cell(value: float | None, interval: tuple[float, float] | None, images: int) -> str:
    if interval is None or value is None:
        return figure(value)
    return f"{figure(value)} ({interval[0]:.2f} to {interval[1]:.2f} of {images})"


def _judged(
    manifest: Mapping[str, Any], predictions: Mapping[str, Predictions], trained: Mapping[str, NDArray[np.bool_]]
) -> Iterator[Section]:
    """What the final weights say of the images that they were not trained on."""
    from copycat.inspection.reports.confusion_plots import reliability, roc_and_precision

    classes = [printable(name) for name in manifest["data"]["classes"]]
    for part, said in predictions.items():
        title = {"val": "Validation images", "test": "Test images"}.get(part, part)
        right, count = int(said.is_correct.sum()), len(said.label)
        yield Section(
            title=f"{title}: what was taken for what",
            note=f"{_right(right, count)} {_beside(said, classes)}{_without(said, trained.get(part))}",
            table=_confused(said, classes) if len(classes) <= MOST_CLASSES else None,
            images=[
                Image(
                    roc_and_precision(said.probability, said.label, classes),
                    f"ROC, and precision over recall, of each class against the others, on {counted(count, 'image')}.",
                    f"roc-{part}",
                ),
                Image(
                    reliability(said.probability, said.label, classes),
                    f"How often what was said with some probability is so, on {counted(count, 'image')}.",
                    f"reliability-{part}",
                ),
            ],
        )


def _confused(said: Predictions, classes: Sequence[str]) -> Table:
    matrix = confusion(said.probability, said.label).tolist()
    rows = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]
    return Table(rows, ["is, down; said, across", *classes])


def _right(right: int, count: int) -> str:
    return f"{right} of {count} are right: {figure(right / count)}."


def _without(said: Predictions, trained: NDArray[np.bool_] | None) -> str:
    """What is left without images that were trained on too."""
    if trained is None or not trained.any() or trained.all():
        return ""
    new = said[~trained]
    balanced = new.scores().get("balanced_accuracy")
    few = f" Without {counted(int(trained.sum()), 'image')} that train has too, "
    words = few + _right(int(new.is_correct.sum()), len(new.label))
    return words if balanced is None else f"{words} Balanced accuracy is then {figure(balanced)}."


def _beside(said: Predictions, classes: Sequence[str]) -> str:
    """What an accuracy is to be held against, where some classes have more images than others."""
    counts = np.bincount(said.label)
    always = (
        f"always to say {classes[int(counts.argmax())]} would be right of {figure(float(counts.max() / counts.sum()))}."
    )
    balanced = said.scores().get("balanced_accuracy")
    if balanced is None:
        return always[0].upper() + always[1:]
    return f"Balanced accuracy, the mean over classes, is {figure(balanced)}; {always}"


def _gallery(shown: Sequence[tuple[Shown, Picture]]) -> Iterator[Section]:
    for kind, title in TITLES.items():
        images = [
            Image(
                png_of(picture),
                f"{one.name}: says {one.said} {one.probability:.2f}, is {one.label}",
                small=True,
            )
            for one, picture in shown
            if one.kind == kind
        ]
        if images:
            yield Section(title=f"Validation images, {title}", images=images)


def _weights(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Section]:
    path, shape = folder / WEIGHTS, manifest["data"].get("image_shape")
    if not path.exists() or not shape or path.stat().st_size > MOST_BYTES:
        return
    images = weight_images(read_weights(path), image_shape=tuple(shape))
    if images:
        says = "First-layer weights, an image for each unit: grey is 0, brighter speaks for it, darker against it."
        yield Section(
            title="Weights",
            images=[Image(png_of(sheet(images, side=256 if len(images) == 1 else SIDE, columns=8)), says, "weights")],
        )


def _timing(manifest: Mapping[str, Any]) -> Iterator[Section]:
    seconds, came_out = manifest["seconds"], manifest["results"]
    if not seconds or not came_out.get("epochs"):
        return
    epochs, steps = came_out["epochs"], came_out.get("steps") or 0
    images = manifest["data"]["images"].get("train", 0)
    rows = [
        ["in all", f"{seconds:.1f} s"],
        ["an epoch", f"{1000 * seconds / epochs:.2f} ms"],
        ["optimizer steps", f"{steps}, {steps / seconds:.0f} a second"],
        ["training images", f"{images * epochs / seconds:.0f} a second"],
    ]
    note = "From the first step to the last record; validation, checkpoints and records are in it."
    yield Section(title="Time", note=note, table=Table(rows))


def _curves(manifest: Mapping[str, Any], rows: list[dict[str, float]]) -> Iterator[Section]:
    from copycat.inspection.reports.curves import curves  # what draws is an extra, and takes half a second

    drawn = [metric for metric in DRAWN if any(f"{part}/{metric}" in row for row in rows for part in PARTS)]
    if not drawn:
        return
    best = manifest["results"].get("best", {})
    says = f"{' and '.join(drawn)} by epoch, from {rows[0]['epoch']:.0f} to {rows[-1]['epoch']:.0f}: "
    says += "; ".join(
        _course(rows, f"{part}/{metric}") for metric in drawn for part in PARTS if _values(rows, f"{part}/{metric}")
    )
    yield Section(title="Curves", images=[Image(curves(rows, drawn, best=best.get("epoch")), f"{says}.", "curves")])


def _values(rows: list[dict[str, float]], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _course(rows: list[dict[str, float]], name: str) -> str:
    values = _values(rows, name)
    return f"{name} from {figure(values[0])} to {figure(values[-1])}"


def _asked(manifest: Mapping[str, Any]) -> Section:
    asked = manifest["request"]
    rows = [["experiment", asked["experiment"]], ["overrides", " ".join(asked["overrides"]) or "none"]]
    return Section(title="What was asked", table=Table(rows))


def _ran_on(manifest: Mapping[str, Any]) -> Section:
    code, environment = manifest["provenance"]["code"], manifest["provenance"]["environment"]
    packages = environment.get("packages") or {}
    facts = {
        "code": code.get("digest"),
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
        "data": (manifest["provenance"].get("data") or {}).get("all"),
        "weights": manifest["results"].get("weights_digest"),
    }
    rows = [[name, printable(value)] for name, value in facts.items() if value not in (None, "")]
    return Section(title="What it ran on", note="The whole fingerprint is in run.json.", table=Table(rows))


def _data(manifest: Mapping[str, Any]) -> Iterator[Section]:
    data = manifest["data"]
    rows = [["classes", ", ".join(data["classes"])]]
    rows += [[f"{part} images", str(count)] for part, count in data["images"].items()]
    yield Section(title="Data", note="; ".join(data["warnings"]), table=Table(rows))
