"""Read the labeled images on which a run is evaluated, and tell where they are others than it recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.data.labels import label_codes, spell_like
from copycat.data.split import Part
from copycat.deploy.arguments import name_data, names_own_data
from copycat.deploy.predictor import Predictor
from copycat.records.image_index import ImageRecord, image_changes
from copycat.records.run_loader import Opened
from copycat.training.components import build_data

BATCH = 256
"""Images in memory at once."""
LABEL_MISMATCHES = {
    False: "expected images of one class each, as the run's; got several. Leave out data.multi_label,"
    " data.label_columns and data.label_separator.",
    True: "expected images of several classes each, as the run's; got one. Type data=folder data.multi_label=true, or"
    " data=csv with data.label_columns or data.label_separator.",
}
"""Errors of data whose images have one class each, or several, by whether the run's may have several."""


def read_parts(opened: Opened, overrides: Sequence[str], predictor: Predictor) -> Mapping[str, tuple[Part, Tensor]]:
    """Return the parts of the run's own data, or of those that overrides name, and the run's labels of their images.

    Raises:
        UserError: where the data cannot be read, or have other classes than the run.
    """
    source, parts, node = _read_other(opened, overrides, predictor) if overrides else _read_own(opened)
    key = overrides[0] if overrides else "data"
    classes = [spell_like(name, predictor.classes) for name in source.classes]
    unknown = [name for name in classes if name not in predictor.classes]
    if unknown:
        raise UserError(
            f"{key}: expected the run's classes, {', '.join(predictor.classes)}; got {', '.join(unknown)}."
            f" Name the {'sub-folders' if is_option(node['_target_'], 'data', 'folder') else 'classes'} so."
        )
    if any(part.is_multi_label != predictor.is_multi_label for part in parts.values()):
        raise UserError(f"{key}: {LABEL_MISMATCHES[predictor.is_multi_label]}")
    label_of_run = torch.tensor([predictor.classes.index(name) for name in classes])
    return {
        name if len(parts) > 1 else "all": (part, _labels_of_run(part, label_of_run, len(predictor.classes)))
        for name, part in parts.items()
    }


def _read_own(opened: Opened) -> tuple[Any, Mapping[str, Part], Mapping[str, Any]]:
    """Return the source of a run's own data, which may have changed since, its parts and its configuration."""
    node = opened.config["data"]
    data = build_data(node, seed=opened.config["seed"])
    parts = data.parts  # a source may learn its classes only as it loads
    return data.source, parts, node


def _read_other(
    opened: Opened, overrides: Sequence[str], predictor: Predictor
) -> tuple[Any, Mapping[str, Part], Mapping[str, Any]]:
    """Return the source of the data that overrides name, its parts and its configuration."""
    node = dict(compose(name_data(opened, overrides), check_data=False).config["data"])
    if names_own_data(overrides):
        typed = {word.partition("=")[0].split(".")[1] for word in overrides}
        node = {**opened.config["data"], **{key: node[key] for key in typed}}
    for key, value in (("image_size", predictor.size), ("fit", predictor.fit)):
        if key in node:  # decode images as the run's own were
            node[key] = value
    source: Any = build_data(node, seed=0).source
    if hasattr(source, "min_classes"):
        source.min_classes = 1
    return source, source.load(), node


def _labels_of_run(part: Part, label_of_run: Tensor, classes: int) -> Tensor:
    if not part.is_multi_label:
        return label_of_run[part.labels]
    labels = torch.zeros(len(part), classes, dtype=torch.int64)
    labels[:, label_of_run] = part.labels
    return labels


def iterate_images(part: Part) -> Iterator[Tensor]:
    """Yield the images of a part in batches, uint8 [B, 3, height, width]."""
    for start in range(0, len(part), BATCH):
        yield torch.stack([part.images[place] for place in range(start, min(start + BATCH, len(part)))])


def name_changes(records: Sequence[ImageRecord], parts: Mapping[str, tuple[Part, Tensor]]) -> str:
    """Describe what differs in these parts from the images that a run recorded; empty where nothing does."""
    before = [replace(record, group=None) for record in records if record.part in parts]
    after = [
        ImageRecord(name, *image)
        for name, (part, labels) in parts.items()
        for image in zip(label_codes(labels), part.digests, part.names, strict=True)
    ]
    return f"changed since the run: {image_changes(before, after)[0]}" if before and {*before} != {*after} else ""
