"""A run on one page: configuration, results with their intervals, environment, and the command that reruns it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.inspection.callbacks.confusion import confusion_matrix
from copycat.inspection.callbacks.contact_sheet import SIDE, Picture, contact_sheet, encode_png
from copycat.inspection.callbacks.weights import draw_weights
from copycat.inspection.reports.gallery_file import TITLES, GalleryItem, read_gallery
from copycat.inspection.reports.intervals import bootstrap
from copycat.inspection.reports.page import Page, PageImage, Section, Table
from copycat.models.metrics import SCORE_NAMES
from copycat.records.lock import RUNNING, current_status
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_history
from copycat.records.predictions import Predictions, find_training_copies, read_predictions
from copycat.records.reader import check_files, not_a_run, read_checked_manifest, read_config
from copycat.records.run_folder import WEIGHTS
from copycat.records.safe_tensors import read_weights
from copycat.tables.statistics import format_number, wilson_interval

PLOTTED_METRICS = ("loss", "accuracy")
"""Metrics that have curves."""
PARTS = ("train", "val", "test")
MAX_CLASSES = 20
"""Classes in a confusion matrix, at most."""
MAX_BYTES = 2**31
"""Size of a weights file whose first layer is drawn, at most."""


def make_run_page(folder: Path) -> Page:
    """Make the page from the run's folder alone; nothing in it is built or executed.

    Raises:
        UserError: where the folder is no run's.
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
        *_predictions(manifest, predictions, find_training_copies(folder, predictions)),
        *_gallery(gallery),
        *_weights(folder, manifest),
        *_timing(manifest),
        _request(manifest),
        _environment(manifest),
        *_data(manifest),
    ]
    if manifest["status"] == "completed":
        sections.append(Section(title="Run it again", code=f"copycat rerun {shlex.quote(str(folder))}"))
    elif manifest["status"] not in ("pruned", RUNNING):
        sections.append(Section(title="Go on with it", code=f"copycat resume {shlex.quote(str(folder))}"))
    sections.append(Section(title="Configuration", code=config))
    return Page(str(folder), _summary(manifest, epochs=len(rows)), sections)


def _summary(manifest: Mapping[str, Any], *, epochs: int) -> str:
    """Summarize a run in one line.

    Args:
        manifest: the run's.
        epochs: rows of metrics.csv, since the manifest of an unfinished run has none.
    """
    epochs = manifest["results"].get("epochs", epochs)
    words = [f"{manifest['status']} after {pluralize(epochs, 'epoch')}", f"started {manifest['started']}"]
    if manifest["seconds"] is not None:
        words.append(f"{manifest['seconds']:.1f} s")
    if manifest["error"]:
        words.append(str(manifest["error"]))
    if manifest["data"]["synthetic"]:
        words.append("on images that were drawn")
    return "; ".join(words)


def _metrics(manifest: Mapping[str, Any], predictions: Mapping[str, Predictions]) -> Iterator[Section]:
    results, images = manifest["results"], manifest["data"]["images"]
    best = results.get("best", {})
    columns = {
        "final": results.get("final", {}),
        f"epoch {best.get('epoch')}, best {best.get('monitor')}": best.get("metrics", {}),
    }
    places = [
        (title, part)
        for title, values in columns.items()
        for part in PARTS
        if any(name.startswith(f"{part}/") for name in values)
    ]
    if not places:
        return
    intervals = {
        ("final", part): bootstrap(predicted.probability, predicted.label) for part, predicted in predictions.items()
    }
    rows = []
    for name in ("loss", *SCORE_NAMES):
        cells = []
        for title, part in places:
            value, count = columns[title].get(f"{part}/{name}"), images.get(part, 0)
            interval = intervals.get((title, part), {}).get(name)
            if name == "accuracy" and value is not None and count and 0 <= value <= 1:
                interval = wilson_interval(value, count)
            cells.append(_cell(value, interval, count))
        rows.append([name, *cells])
    classes = manifest["data"]["classes"]
    counts = ", ".join(f"{images[part]} {part}" for part in PARTS if part != "train" and images.get(part))
    note = f"95 % intervals, accuracy by Wilson's score, others by bootstrap: {counts} images tell no more than that."
    if len(classes) == 2:
        note += f" Precision, recall and f1 are of: {classes[1]}."
    head = ["metric", *(f"{part}, {title}" for title, part in places)]
    yield Section(title="Metrics", note=note, table=Table(rows, head))


def _cell(value: float | None, interval: tuple[float, float] | None, images: int) -> str:
    if interval is None or value is None:
        return format_number(value)
    return f"{format_number(value)} ({interval[0]:.2f} to {interval[1]:.2f} of {images})"


def _predictions(
    manifest: Mapping[str, Any], predictions: Mapping[str, Predictions], trained: Mapping[str, NDArray[np.bool_]]
) -> Iterator[Section]:
    """Describe the predictions of the final weights on held-out images."""
    from copycat.inspection.reports.confusion_plots import plot_reliability, plot_roc_and_precision

    classes = [printable(name) for name in manifest["data"]["classes"]]
    for part, predicted in predictions.items():
        title = {"val": "Validation images", "test": "Test images"}.get(part, part)
        is_correct, count = int(predicted.is_correct.sum()), len(predicted.label)
        new = _accuracy_without_trained(predicted, trained.get(part))
        yield Section(
            title=f"{title}: what was taken for what",
            note=f"{_accuracy(is_correct, count)} {_baseline(predicted, classes)}{new}",
            table=_confusion_table(predicted, classes) if len(classes) <= MAX_CLASSES else None,
            images=[
                PageImage(
                    plot_roc_and_precision(predicted.probability, predicted.label, classes),
                    "ROC, and precision over recall, of each class against the others, on"
                    f" {pluralize(count, 'image')}.",
                    f"roc-{part}",
                ),
                PageImage(
                    plot_reliability(predicted.probability, predicted.label, classes),
                    f"How often what was said with some probability is so, on {pluralize(count, 'image')}.",
                    f"reliability-{part}",
                ),
            ],
        )


def _confusion_table(predicted: Predictions, classes: Sequence[str]) -> Table:
    matrix = confusion_matrix(predicted.probability, predicted.label).tolist()
    rows = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]
    return Table(rows, ["is, down; said, across", *classes])


def _accuracy(right: int, count: int) -> str:
    return f"{right} of {count} are right: {format_number(right / count)}."


def _accuracy_without_trained(predicted: Predictions, trained: NDArray[np.bool_] | None) -> str:
    """State the accuracy without images that the run also trained on."""
    if trained is None or not trained.any() or trained.all():
        return ""
    untrained = predicted[~trained]
    balanced = untrained.scores().get("balanced_accuracy")
    prefix = f" Without {pluralize(int(trained.sum()), 'image')} that train has too, "
    words = prefix + _accuracy(int(untrained.is_correct.sum()), len(untrained.label))
    return words if balanced is None else f"{words} Balanced accuracy is then {format_number(balanced)}."


def _baseline(predicted: Predictions, classes: Sequence[str]) -> str:
    """State the baseline of an accuracy where classes differ in size."""
    counts = np.bincount(predicted.label)
    share = format_number(float(counts.max() / counts.sum()))
    baseline = f"always to say {classes[int(counts.argmax())]} would be right of {share}."
    balanced = predicted.scores().get("balanced_accuracy")
    if balanced is None:
        return baseline[0].upper() + baseline[1:]
    return f"Balanced accuracy, the mean over classes, is {format_number(balanced)}; {baseline}"


def _gallery(items: Sequence[tuple[GalleryItem, Picture]]) -> Iterator[Section]:
    for kind, title in TITLES.items():
        images = [
            PageImage(
                encode_png(picture),
                f"{item.name}: says {item.said} {item.probability:.2f}, is {item.label}",
                small=True,
            )
            for item, picture in items
            if item.kind == kind
        ]
        if images:
            yield Section(title=f"Validation images, {title}", images=images)


def _weights(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Section]:
    path, shape = folder / WEIGHTS, manifest["data"].get("image_shape")
    if not path.exists() or not shape or path.stat().st_size > MAX_BYTES:
        return
    images = draw_weights(read_weights(path), image_shape=tuple(shape))
    if images:
        caption = "First-layer weights, an image for each unit: grey is 0, brighter speaks for it, darker against it."
        yield Section(
            title="Weights",
            images=[
                PageImage(
                    encode_png(contact_sheet(images, side=256 if len(images) == 1 else SIDE, columns=8)),
                    caption,
                    "weights",
                )
            ],
        )


def _timing(manifest: Mapping[str, Any]) -> Iterator[Section]:
    seconds, results = manifest["seconds"], manifest["results"]
    if not seconds or not results.get("epochs"):
        return
    epochs, steps = results["epochs"], results.get("steps") or 0
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
    from copycat.inspection.reports.curves import plot_curves  # matplotlib is an extra, and slow to import

    metrics = [metric for metric in PLOTTED_METRICS if any(f"{part}/{metric}" in row for row in rows for part in PARTS)]
    if not metrics:
        return
    best = manifest["results"].get("best", {})
    caption = f"{' and '.join(metrics)} by epoch, from {rows[0]['epoch']:.0f} to {rows[-1]['epoch']:.0f}: "
    caption += "; ".join(
        _describe_course(rows, f"{part}/{metric}")
        for metric in metrics
        for part in PARTS
        if _values(rows, f"{part}/{metric}")
    )
    yield Section(
        title="Curves", images=[PageImage(plot_curves(rows, metrics, best=best.get("epoch")), f"{caption}.", "curves")]
    )


def _values(rows: list[dict[str, float]], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _describe_course(rows: list[dict[str, float]], name: str) -> str:
    values = _values(rows, name)
    return f"{name} from {format_number(values[0])} to {format_number(values[-1])}"


def _request(manifest: Mapping[str, Any]) -> Section:
    request = manifest["request"]
    rows = [["experiment", request["experiment"]], ["overrides", " ".join(request["overrides"]) or "none"]]
    return Section(title="What was asked", table=Table(rows))


def _environment(manifest: Mapping[str, Any]) -> Section:
    code, environment = manifest["provenance"]["code"], manifest["provenance"]["environment"]
    packages = environment.get("packages") or {}
    values = {
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
    rows = [[name, printable(value)] for name, value in values.items() if value not in (None, "")]
    return Section(title="What it ran on", note="The whole fingerprint is in run.json.", table=Table(rows))


def _data(manifest: Mapping[str, Any]) -> Iterator[Section]:
    data = manifest["data"]
    rows = [["classes", ", ".join(data["classes"])]]
    rows += [[f"{part} images", str(count)] for part, count in data["images"].items()]
    yield Section(title="Data", note="; ".join(data["warnings"]), table=Table(rows))
