"""The model card that lies beside an exported network: what it is, what it learned from, how right it is, how sure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from copycat.config.options import is_option, is_ours
from copycat.config.printable import printable
from copycat.inspection.reports.intervals import bootstrap
from copycat.models.metrics import SCORE_NAMES
from copycat.records.predictions import read_predictions
from copycat.records.run_loader import Opened
from copycat.tables.statistics import figure, wilson

FILES = {
    "safetensors": "model.safetensors has the weights; networks.py, where it lies here, makes the network of them.",
    "torch": "model.pt2 is a torch.export program: `torch.export.load`.",
    "onnx": "model.onnx runs by any ONNX runtime.",
}
NEEDS = {
    "safetensors": "NumPy, Pillow, PyTorch and safetensors",
    "torch": "NumPy, Pillow and PyTorch",
    "onnx": "NumPy, Pillow and onnxruntime",
}
_MARKS = re.compile(r"[\\`<>\[\]|]")
OF_LECTURE = "That of the lecture's cat photographs is unknown."
OF_DRAWN = "Copycat drew these: nobody else has rights in them."
OF_OWN = "These are your own data: what may be done with them, and who is shown on them, is for you to know."


def card(opened: Opened, *, form: str, size: int, difference: float, images: str) -> str:
    """In Markdown.

    Args:
        size: side of the square images that it takes.
        difference: the largest between its probabilities and the run's.
        images: what that was measured on.
    """
    return "\n".join(_lines(opened, form=form, size=size, difference=difference, images=images)) + "\n"


def _lines(opened: Opened, *, form: str, size: int, difference: float, images: str) -> Iterator[str]:
    manifest, config = opened.manifest, opened.config
    data, ran_on = manifest["data"], manifest["provenance"]
    classes = [_words(name) for name in data["classes"]]
    yield f"# {_words(manifest['request']['experiment'])}: an image classifier\n"
    yield f"Tells {', '.join(classes[:-1])} and {classes[-1]} apart. {FILES[form]}\n"
    yield f"`python use.py IMAGE` classifies an image file as `copycat predict` does. It takes {NEEDS[form]}; its"
    yield "classes, and how decode.py is to read an image, lie in model.json.\n"
    yield f"It takes RGB images of {size}×{size}, one byte a channel, [B, 3, {size}, {size}], and gives a probability"
    if form == "safetensors":
        yield "for each class: pixels are divided by 255, and what it gives becomes probabilities as in use.py.\n"
    else:
        yield "for each class. The preprocessing, a division by 255, is inside.\n"
    yield f"On {images} its probabilities are the run's to {difference:.2g}.\n"
    yield "## Data\n"
    source = _words(data["source"]).rpartition(".")[2]
    counts = ", ".join(f"{count} {part}" for part, count in data["images"].items())
    yield f"{source}: {counts} images{', drawn, not photographed' if data['synthetic'] else ''}."
    for warning in data["warnings"]:
        yield f"{_words(warning)}."
    yield "\n## How right it is\n"
    yield from _metrics(opened)
    yield "\nIntervals of 95 %: accuracy by Wilson's score, others by bootstrap. On other images it may be worse.\n"
    yield "## Where it comes from\n"
    code, environment = ran_on["code"], ran_on["environment"]
    packages: Mapping[str, Any] = environment.get("packages") or {}
    facts = {
        "run": opened.folder,
        "overrides": " ".join(manifest["request"]["overrides"]),
        "model": config["model"]["_target_"],
        "code": f"Copycat {code.get('version')}, {code.get('digest')}",
        "commit": code.get("commit"),
        "torch": packages.get("torch"),
        "data": ran_on["data"].get("all"),
        "weights": manifest["results"].get("weights_digest"),
    }
    yield from (f"- {name}: {_words(str(value))}" for name, value in facts.items() if value)
    yield "\n## Licence\n"
    yield "That of the code is MIT. Weights are made from the images: whether they may be passed on is for the licence"
    yield f"of those to say, which Copycat does not know. {_licence(data)}"


def _words(value: Any) -> str:
    """A value of the run as words that Markdown makes no link, tag or code of."""
    return _MARKS.sub(r"\\\g<0>", printable(value))


def _licence(data: Mapping[str, Any]) -> str:
    """Of the images, as far as their source says."""
    if not is_ours(data["source"]):
        return OF_OWN
    return OF_DRAWN if data["synthetic"] else OF_LECTURE if is_option(data["source"], "data", "cats") else OF_OWN


def _metrics(opened: Opened) -> Iterator[str]:
    final = opened.manifest["results"].get("final", {})
    images = opened.manifest["data"]["images"]
    for part, said in read_predictions(opened.folder, classes=len(opened.manifest["data"]["classes"])).items():
        sure = bootstrap(said.probability, said.label)
        yield f"| {part}, {images[part]} images | value | 95 % |\n| --- | --- | --- |"
        for name in SCORE_NAMES:
            value = final.get(f"{part}/{name}")
            if value is None:
                continue
            low, high = wilson(value, images[part]) if name == "accuracy" else sure.get(name, (0.0, 1.0))
            yield f"| {name} | {figure(value)} | {low:.2f} to {high:.2f} |"
