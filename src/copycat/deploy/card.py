"""The model card beside an exported network: description, training data, metrics with their intervals, provenance."""

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from copycat.config.options import is_option, is_ours
from copycat.config.own_modules import find_targets
from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.deploy.calibration_note import IMAGES, format_interval, make_note
from copycat.deploy.export_check import KINDS
from copycat.deploy.export_formats import FORMATS, Format
from copycat.deploy.predictor import Predictor
from copycat.inspection.reports.intervals import bootstrap
from copycat.models.added_metrics import build_added_metrics
from copycat.models.metrics import SCORE_NAMES
from copycat.records.calibration_file import Calibration
from copycat.records.predictions import read_predictions
from copycat.records.run_loader import Opened
from copycat.tables.statistics import format_number, wilson_interval

if TYPE_CHECKING:
    from copycat.deploy.export import Export

_MARKS = re.compile(r"[\\`<>\[\]|]")


def describe_export(opened: Opened, predictor: Predictor, exported: "Export", *, form: Format) -> Iterator[str]:
    """Yield the lines of the card in Markdown."""
    manifest, config, size = opened.manifest, opened.config, predictor.size
    data, provenance = manifest["data"], manifest["provenance"]
    classes = [_escape_markdown(name) for name in data["classes"]]
    yield f"# {_escape_markdown(manifest['request']['experiment'])}: an image classifier\n"
    listed = f"{', '.join(classes[:-1])} and {classes[-1]}"
    task = (
        f"Finds {listed}, of which an image may have several." if predictor.is_multi_label else f"Tells {listed} apart."
    )
    yield f"{task} {FORMATS[form].content}\n"
    yield f"`python use.py IMAGE` classifies an image file as `copycat predict` does. It takes {FORMATS[form].needs};"
    yield "its classes, and how decode.py is to read an image, lie in model.json.\n"
    needed = sorted({target.partition(".")[0] for target in find_targets(config["model"])} - {"copycat", "torch"})
    if needed and form == "safetensors":
        made_by = _escape_markdown(", ".join(needed))
        yield f"Its network is made by {made_by}, which use.py must find on PYTHONPATH.\n"
    yield f"It takes RGB images of {size}×{size}, one byte a channel, [B, 3, {size}, {size}], and gives a probability"
    if form == "safetensors":
        yield "for each class: pixels are divided by 255, and what it gives becomes probabilities as in use.py.\n"
    else:
        yield "for each class. The preprocessing, a division by 255, is inside.\n"
    yield from _differences(exported, form)
    yield "## Data\n"
    source = _escape_markdown(data["source"]).rpartition(".")[2]
    counts = ", ".join(f"{count} {part}" for part, count in data["images"].items())
    yield f"{source}: {counts} images{', drawn, not photographed' if data['synthetic'] else ''}."
    for warning in data["warnings"]:
        yield f"{_escape_markdown(warning)}."
    yield "\n## Accuracy on new images\n"
    yield from _metrics(opened)
    how = "by bootstrap" if predictor.is_multi_label else "accuracy by Wilson's score, others by bootstrap"
    yield f"\nIntervals of 95 %: {how}. On other images it may be worse.\n"
    if made := predictor.calibration:
        yield from _calibration(made, data["classes"], form=form)
    yield "## Where it comes from\n"
    code, environment = provenance["code"], provenance["environment"]
    packages: Mapping[str, Any] = environment.get("packages") or {}
    values = {
        "run": opened.folder,
        "overrides": " ".join(manifest["request"]["overrides"]),
        "model": config["model"]["_target_"],
        "code": f"Copycat {code.get('version')}, {code.get('digest')}",
        "commit": code.get("commit"),
        "torch": packages.get("torch"),
        "data": provenance["data"].get("all"),
        "weights": manifest["results"].get("weights_digest"),
    }
    yield from (f"- {name}: {_escape_markdown(str(value))}" for name, value in values.items() if value)
    yield "\n## License\n"
    yield "The code is under the MIT license. Whether the weights may be redistributed depends on the license of the"
    yield f"training images, which Copycat does not know. {_license(data)}"


def _differences(exported: "Export", form: Format) -> Iterator[str]:
    """Describe how near to the run an export is, and the machine that a compiled one is for."""
    found, images = exported.on_validation, "the validation images"
    if found is None:
        found, images = exported.on_files, KINDS
    if FORMATS[form].is_rounded:
        yield f"On {images} its probabilities differ from the run's by {found.mean:.2g} on average, of which"
        yield f"{exported.tolerance:g} is accepted, and by {found.largest:.2g} at most."
        yield f"Ranges of activations are those of {pluralize(exported.calibration_images, 'training image')}."
        if exported.accuracies:
            before, after = exported.accuracies
            yield f"\n| accuracy on {images} | |\n| --- | --- |\n| before, in 32 bits | {before:.4f} |"
            yield f"| after, in 8 bits | {after:.4f} |"
        yield ""
    else:
        yield f"On {images} its probabilities are the run's to {found.largest:.2g}.\n"
    if form == "aotinductor":
        yield f"It is compiled for {describe_machine()}: on another processor, or with another PyTorch, it may fail.\n"


def describe_machine() -> str:
    """Describe the machines that run code compiled here by torch."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{platform.system()} on {platform.machine()} ({instructions}), torch {torch.__version__}"


def _escape_markdown(value: Any) -> str:
    """Escape text of the run so that Markdown makes no link, tag or code of it."""
    return _MARKS.sub(r"\\\g<0>", printable(value))


def _license(data: Mapping[str, Any]) -> str:
    """Describe the license of the images, as far as their source states it."""
    if is_ours(data["source"]) and data["synthetic"]:
        return "Copycat drew these: nobody else has rights in them."
    if is_option(data["source"], "data", "cats"):
        return "That of the lecture's cat photographs is unknown."
    return "These are your own data: what may be done with them, and who is shown on them, is for you to know."


def _calibration(made: Calibration, classes: Sequence[str], *, form: str) -> Iterator[str]:
    place = "use.py, from model.json" if form == "safetensors" else "the network itself"
    yield f"## Calibration\n\nIt is {_escape_markdown(make_note(made, classes))}."
    yield "use.py decides by decision.py." if made.thresholds else f"The temperature is applied in {place}; use.py"
    yield f"{'' if made.thresholds else 'decides by decision.py. '}It was fitted on {IMAGES[made.fitted_on]}."
    if figures := ", ".join(f"{name} {format_number(value)}" for name, value in made.checked.items()):
        yield f"On images that a fit on the others did not see: {_escape_markdown(figures)}."
    yield "All of it holds for images as those of the data above; of others nothing is known.\n"


def _metrics(opened: Opened) -> Iterator[str]:
    final = opened.manifest["results"].get("final", {})
    images = opened.manifest["data"]["images"]
    classes = opened.manifest["data"]["classes"]
    is_several = bool(opened.manifest["data"].get("multi_label"))
    added = build_added_metrics(opened.config, classes, multi_label=is_several)
    for part, predicted in read_predictions(opened.folder, classes=len(classes)).items():
        intervals = bootstrap(predicted.probability, predicted.label, added=added)
        yield f"| {part}, {images[part]} images | value | 95 % |\n| --- | --- | --- |"
        for name in [*SCORE_NAMES, *(name for metric in added for name in metric.columns)]:
            value = final.get(f"{part}/{name}")
            if value is None:
                continue
            is_share = name == "accuracy" and not is_several
            low, high = wilson_interval(value, images[part]) if is_share else intervals.get(name, (None, None))
            yield f"| {name} | {format_number(value)} | {format_interval({'low': low, 'high': high})} |"
