"""A run on one page: configuration, results with their intervals, environment, and the command that reruns it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.config.moved_names import with_current_names
from copycat.config.renamed_keys import with_current_keys
from copycat.config.suggestions import format_epochs
from copycat.inspection.callbacks.contact_sheet import SIDE, Picture, contact_sheet, encode_jpeg, encode_png
from copycat.inspection.quality.image_lists import FILE as QUALITY
from copycat.inspection.quality.image_lists import make_sections, read_image_lists
from copycat.inspection.reports.calibration_section import make_calibration_section
from copycat.inspection.reports.contents import GalleryImage, PageImage, Section
from copycat.inspection.reports.curve_charts import make_curve_charts
from copycat.inspection.reports.evaluation_sections import PARTS, make_metric_sections, make_prediction_sections
from copycat.inspection.reports.gallery_file import FILE as GALLERY
from copycat.inspection.reports.gallery_file import TITLES, GalleryItem, read_gallery
from copycat.inspection.reports.manifest_sections import make_configuration_section, make_manifest_sections
from copycat.inspection.reports.page import Page
from copycat.inspection.reports.verdict import format_time, make_facts, make_title, make_verdict
from copycat.inspection.reports.weight_images import MAX_UNITS, draw_weights
from copycat.records.calibration_file import read_calibration
from copycat.records.digests import recorded_digests
from copycat.records.epoch_size import count_epoch_images
from copycat.records.lock import RUNNING, current_status
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_history
from copycat.records.predictions import find_training_copies, read_predictions
from copycat.records.reader import check_run_folder, parse_config, read_checked_manifest
from copycat.records.run_folder import WEIGHTS
from copycat.records.safe_parsers import naming_file
from copycat.records.safe_tensors import read_weights
from copycat.tables.statistics import format_number

PLOTTED_METRICS = ("loss", "accuracy")
"""Metrics that have curves."""
MAX_BYTES = 2**31
"""Size of a weights file whose first layer is drawn, at most."""


def make_run_page(folder: Path) -> Page:
    """Make the page from the run's folder alone; nothing in it is built or executed.

    Raises:
        UserError: where the folder is no run's.
    """
    check_run_folder(folder)
    manifest = read_checked_manifest(folder)
    content, recorded = parse_config(folder)
    config = with_current_names(with_current_keys(recorded))
    rows = read_history(folder) if (folder / HISTORY).exists() else []
    classes = len(manifest["data"]["classes"])
    predictions, calibration = read_predictions(folder, classes=classes), read_calibration(folder, classes=classes)
    with naming_file(folder / GALLERY, "the gallery of a run"):
        gallery = read_gallery(folder)
    with naming_file(folder / QUALITY, "the images that a check of the data found"):
        quality = read_image_lists(folder)
    manifest["status"] = current_status(manifest["status"], folder)
    epoch_images = count_epoch_images(config, manifest["data"]["images"])
    sections = [
        *make_metric_sections(manifest, predictions, epoch_images),
        *_curves(manifest, rows),
        *make_prediction_sections(manifest, predictions, find_training_copies(folder, predictions), calibration),
        *make_calibration_section(calibration, manifest["data"]["classes"]),
        *_gallery(gallery),
        *make_sections(quality),
        *_weights(folder, manifest),
        make_configuration_section(config, content.decode(), manifest["request"]),
        *make_manifest_sections(manifest, epoch_images),
    ]
    if manifest["status"] == "completed":
        sections.append(Section(title="Reproduce", code=f"copycat rerun {shlex.quote(str(folder))}"))
    elif manifest["status"] not in ("pruned", RUNNING):
        sections.append(Section(title="Resume", code=f"copycat resume {shlex.quote(str(folder))}"))
    facts = [*make_facts(manifest, folder)]
    max_epochs = trainer.get("max_epochs") if isinstance(trainer := config.get("trainer"), Mapping) else None
    line = f"{folder}: {_summary(manifest, epochs=len(rows), max_epochs=max_epochs)}"
    summary = [make_verdict(facts), line]
    return Page(make_title(folder, config, manifest), "\n".join(filter(None, summary)), sections, facts)


def _summary(manifest: Mapping[str, Any], *, epochs: int, max_epochs: Any) -> str:
    """Summarize a run in one line; `epochs` are rows of metrics.csv: the manifest of an unfinished run has none."""
    trained = format_epochs(manifest["results"].get("epochs", epochs), of=max_epochs)
    words = [f"{manifest['status']} after {trained}", f"started {format_time(manifest['started'])}"]
    if ended := manifest["results"].get("ended_early"):
        words.append(f"ended by {ended['by']}")
    if manifest["seconds"] is not None:
        words.append(f"{manifest['seconds']:.1f} s")
    if manifest["error"]:
        words.append(str(manifest["error"]))
    if manifest["data"]["synthetic"]:
        words.append("on images that were drawn")
    return "; ".join(words)


def _gallery(items: Sequence[tuple[GalleryItem, Picture]]) -> Iterator[Section]:
    """Show each image once: the most confident errors and the least confident predictions may share some."""
    images = {
        item.index: GalleryImage(encode_jpeg(picture), item.name, item.label, item.predicted, item.probability)
        for item, picture in items
    }
    if images:
        kinds = [title for kind, title in TITLES.items() if any(item.kind == kind for item, _ in items)]
        yield Section(title="Validation images", note=f"The {' and the '.join(kinds)}.", gallery=[*images.values()])


def _weights(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Section]:
    path, shape = folder / WEIGHTS, manifest["data"].get("image_shape")
    if not path.exists() or not shape or path.stat().st_size > MAX_BYTES:
        return
    weights = read_weights(path, digest=recorded_digests(manifest).get(WEIGHTS))
    images = draw_weights(weights, image_shape=tuple(shape))
    if images:
        units = "unit" if len(images) < MAX_UNITS else f"of the first {MAX_UNITS} units"
        caption = f"First-layer weights, an image for each {units}: gray is 0, brighter is positive, darker negative."
        sheet = contact_sheet(images, side=256 if len(images) == 1 else SIDE, columns=8)
        yield Section(title="Weights", images=[PageImage(encode_png(sheet), caption, "weights")])


def _curves(manifest: Mapping[str, Any], rows: list[dict[str, float]]) -> Iterator[Section]:
    from copycat.inspection.reports.curves import plot_curves  # matplotlib is an extra, and slow to import

    metrics = [metric for metric in PLOTTED_METRICS if any(f"{part}/{metric}" in row for row in rows for part in PARTS)]
    if not metrics:
        return
    best = manifest["results"].get("best", {}).get("epoch")
    is_single = len(rows) == 1
    courses = [
        f"{name} {'' if is_single else f'from {format_number(values[0])} to '}{format_number(values[-1])}"
        for name in (f"{part}/{metric}" for metric in metrics for part in PARTS)
        if (values := [row[name] for row in rows if name in row])
    ]
    first, last = rows[0]["epoch"], rows[-1]["epoch"]
    span = f"of epoch {last:.0f}" if is_single else f"by epoch, from {first:.0f} to {last:.0f}"
    caption = f"{' and '.join(metrics)} {span}: {'; '.join(courses)}."
    charts = make_curve_charts(rows, metrics, best=best)
    image = PageImage(plot_curves(rows, metrics, best=best), caption, "curves", charts, synced=True)
    yield Section(title="Curves", images=[image])
