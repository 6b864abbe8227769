"""What a run's final weights say of labelled images, and the metrics of that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.split import Part
from copycat.deploy.predictor import Predictor, opened_predictor
from copycat.inspection.reports.intervals import bootstrap
from copycat.records.image_index import read_images, training_digests
from copycat.records.predictions import Predictions, find_training_copies, read_predictions
from copycat.records.run_loader import Opened
from copycat.tables.statistics import wilson
from copycat.training.factory import build_data

BATCH = 256
"""Images in memory at once."""
ACCURACIES = ("accuracy", "balanced_accuracy")
"""Metrics that are given without the images that were trained on too, and of each member of an ensemble."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Judgement:
    """By part."""

    said: Mapping[str, Predictions]
    trained: Mapping[str, NDArray[np.bool_]]
    """[N]: whether an image was trained on too, as far as images.csv says."""
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of other data than the run's own: classes that a part has no image of."""

    def rows(self) -> list[Row]:
        """Each metric of each part, with its 95 % interval; of a part that shares images with the training part, the
        accuracies without these too.
        """
        return [row for part in self.said for row in self._rows(part)]

    def _rows(self, part: str) -> Iterator[Row]:
        said, new = self.said[part], ~self.trained[part]
        yield from rows_of(part, said, present_only=bool(self.missing.get(part)))
        if part != "train" and new.any() and not new.all():
            yield from (row for row in rows_of(f"{part}, not in train", said[new]) if row["metric"] in ACCURACIES)


def rows_of(part: str, said: Predictions, *, present_only: bool = False) -> Iterator[Row]:
    """Each metric that there is, with its 95 % interval: of accuracy Wilson's, of others by bootstrap.

    Args:
        present_only: see `scores_of`.
    """
    sure = bootstrap(said.probability.astype(np.float64), said.label, present_only=present_only)
    images = len(said.label)
    for metric, value in said.scores(present_only=present_only).items():
        low, high = wilson(value, images) if metric == "accuracy" else sure.get(metric, (0.0, 1.0))
        yield {"part": part, "images": images, "metric": metric, "value": value, "low": low, "high": high}


def judge(
    opened: Opened, overrides: Sequence[str], *, classes: Sequence[str] | None = None, views: int = 1
) -> Judgement:
    """What a run's network says.

    Args:
        overrides: which data, as `data=folder`; none for the run's own. All parts that it comes in are judged, as they
            are, whatever split the run was trained with.
        classes: the order of what is given; None: the run's.
        views: of each image, see `opened_predictor`.

    Raises:
        UserError: where the run cannot predict, the data cannot be read, or its classes are others than the run's.
    """
    with opened_predictor(opened, views=views) as predictor:
        order = list(classes or predictor.classes)
        place = torch.tensor([order.index(name) for name in predictor.classes])
        said, trained, missing = {}, {}, {}
        seen = training_digests(read_images(opened.folder) or [])
        for name, (part, labels) in _parts(opened, overrides, predictor).items():
            found = torch.cat([predictor(images) for images in _batches(part, predictor)]).float()
            said[name] = Predictions(place[labels].numpy(), found[:, place.argsort()].numpy())
            trained[name] = np.array([digest in seen for digest in part.digests])
            if overrides:
                there = {predictor.classes[label] for label in set(labels.tolist())}
                missing[name] = [other for other in predictor.classes if other not in there]
    return Judgement(said, trained, missing)


def recorded(opened: Opened, *, views: int = 1) -> Judgement:
    """What a run said of its own validation and test images as it ended: by predictions.csv, else, and where several
    views of each image are asked for, by its network.

    Raises:
        UserError: where it has neither.
    """
    try:
        said = read_predictions(opened.folder, classes=len(opened.manifest["data"]["classes"]))
    except (OSError, ValueError) as error:
        raise UserError(f"{opened.folder}: expected the predictions of a run; {first_line(error)}.") from error
    if not said or views > 1:
        found = judge(opened, [], views=views)
        return Judgement({part: one for part, one in found.said.items() if part != "train"}, found.trained)
    trained = find_training_copies(opened.folder, said)
    return Judgement(said, {part: trained.get(part, np.zeros(len(one.label), bool)) for part, one in said.items()})


def _parts(opened: Opened, overrides: Sequence[str], predictor: Predictor) -> Mapping[str, tuple[Part, Tensor]]:
    """Parts, and the run's labels of their images."""
    if not overrides:
        data = build_data(opened.config["data"], seed=opened.config["seed"])
        return {name: (part, part.labels) for name, part in data.parts.items()}
    node = dict(compose(overrides, data_too=False).config["data"])
    for key, ours in (("image_size", predictor.size), ("fit", predictor.fit)):
        if key in node:  # images as the run was given its own
            node[key] = ours
    source: Any = build_data(node, seed=0).source
    if hasattr(source, "least_classes"):
        source.least_classes = 1
    parts = source.load()
    unknown = [name for name in source.classes if name not in predictor.classes]
    if unknown:
        raise UserError(
            f"{overrides[0]}: expected the run's classes, {', '.join(predictor.classes)}; got {', '.join(unknown)}."
            " Name the sub-folders so."
        )
    place = torch.tensor([predictor.classes.index(name) for name in source.classes])
    return {name if len(parts) > 1 else "all": (part, place[part.labels]) for name, part in parts.items()}


def _batches(part: Part, predictor: Predictor) -> Iterator[Tensor]:
    shape = tuple(part.images.shape[1:])
    if shape != (3, predictor.size, predictor.size):
        raise UserError(
            f"data: expected images of 3×{predictor.size}×{predictor.size}, as the run's;"
            f" got {'×'.join(map(str, shape))}."
        )
    for start in range(0, len(part), BATCH):
        yield torch.stack([part.images[place] for place in range(start, min(start + BATCH, len(part)))])
