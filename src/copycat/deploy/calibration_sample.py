"""The held-out images that a calibration is fitted on: logits, labels, and the groups by which a fit is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from copycat.config.errors import UserError
from copycat.data.streams import derive_seed
from copycat.models.temperature import Doubles
from copycat.records.calibration_file import Calibration, FittedOn
from copycat.records.image_index import ImageRecord, read_images
from copycat.records.predictions import read_predictions
from copycat.records.run_loader import Opened

GROUPS = 5
"""Groups of the validation images, each of which checks a fit on the others."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold predictions on images that the network did not train on."""

    fitted_on: FittedOn
    logits: Doubles
    """[N, classes]; of several classes an image the logarithms of their probabilities."""
    label: NDArray[np.int64]
    """[N], or [N, classes] of 0 and 1."""
    group: NDArray[np.int64]
    """[N]: the group of each image; of out-of-fold predictions its fold."""

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Sample":
        """Return the images that a mask, [N], selects."""
        group = self.group[chosen]
        return Sample(fitted_on=self.fitted_on, logits=self.logits[chosen], label=self.label[chosen], group=group)


def read_validation_sample(opened: Opened) -> Sample:
    """Return a run's predictions on its validation images, in five groups of equal shares of the classes.

    Images that may have several classes are in five groups of equal size.
    """
    logits, label = read_logits(opened)
    group = np.arange(len(label)) % GROUPS
    if label.ndim == 2:
        return Sample(fitted_on="validation", logits=logits, label=label, group=group)
    for one in np.unique(label):
        places = np.flatnonzero(label == one)
        group[places] = (np.arange(len(places)) + one) % GROUPS
    return Sample(fitted_on="validation", logits=logits, label=label, group=group)


def read_half_sample(opened: Opened) -> Sample:
    """Return the half of a run's validation images that a calibration is fitted on.

    Raises:
        UserError: where images.csv is missing, by which `copycat evaluate` finds the other half.
    """
    whole = read_validation_sample(opened)
    images = [image for image in read_images(opened.folder) or [] if image.part == "val"]
    if len(images) != len(whole.label):
        raise UserError(
            f"{opened.user_path}: expected images.csv, by which the images are halved; got none."
            f" Type copycat calibrate {quote(str(opened.user_path))} --validation."
        )
    half = half_digests(images)
    kept = whole[np.array([image.digest in half for image in images])]
    return Sample(fitted_on="half of validation", logits=kept.logits, label=kept.label, group=kept.group)


def half_digests(images: Sequence[ImageRecord]) -> set[str]:
    """Return the digests of every second validation image of each class, in an order by a hash of its pixels."""
    labels = {image.digest: image.label for image in images}
    half: set[str] = set()
    for one in sorted(set(labels.values())):
        digests = [digest for digest, label in labels.items() if label == one]
        half |= set(sorted(digests, key=lambda digest: (derive_seed("calibrate", digest), digest))[::2])
    return half


def calibration_digests(images: Sequence[ImageRecord], calibration: Calibration | None) -> set[str]:
    """Return the digests of the images, of those that images.csv lists, that a calibration was fitted on."""
    if calibration is None:
        return set()
    if calibration.fitted_on == "half of validation":
        return half_digests([image for image in images if image.part == "val"])
    parts = ("train", "val") if calibration.fitted_on == "out of fold" else ("val",)
    return {image.digest for image in images if image.part in parts}


def read_out_of_fold_sample(folds: Mapping[int | None, Opened]) -> Sample:
    """Return the predictions of all folds of a configuration, each on its own validation images."""
    found = {fold: read_logits(opened) for fold, opened in sorted(folds.items(), key=lambda item: str(item[0]))}
    group = [np.full(len(label), place) for place, (_, label) in enumerate(found.values())]
    return Sample(
        fitted_on="out of fold",
        logits=np.concatenate([logits for logits, _ in found.values()]),
        label=np.concatenate([label for _, label in found.values()]),
        group=np.concatenate(group),
    )


def read_logits(opened: Opened) -> tuple[Doubles, NDArray[np.int64]]:
    """Return logits, [N, classes], and labels of a run's validation images.

    They follow from predictions.csv; where that is missing, or a probability was rounded to 0, the network is asked.

    Raises:
        UserError: where predictions.csv is damaged, the data is gone, or logits are not finite.
    """
    predictions = read_predictions(opened.folder, classes=len(opened.manifest["data"]["classes"])).get("val")
    if predictions is not None and (predictions.probability > 0).all():
        logits, label = np.log(predictions.probability), predictions.label
    else:
        logits, label = _ask_network(opened)
    if not np.isfinite(logits).all():
        raise UserError(f"{opened.folder}: expected finite predictions; got others. Did the run diverge?")
    return logits, label


def _ask_network(opened: Opened) -> tuple[Doubles, NDArray[np.int64]]:
    import torch

    from copycat.deploy.evaluated_parts import iterate_images, name_changes, read_parts
    from copycat.deploy.predictor import open_predictor

    with open_predictor(opened, calibrated=False) as predictor:
        part, label = read_parts(opened, [], predictor)["val"]
        if changed := name_changes(read_images(opened.folder) or [], {"val": (part, label)}):
            raise UserError(f"{opened.folder}: expected its own validation images; {changed}. Put them back.")
        logits = torch.cat([predictor.logits(batch) for batch in iterate_images(part)])
    return logits.double().numpy(), label.numpy()
