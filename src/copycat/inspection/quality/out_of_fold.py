"""Predict the class of each image by a model that was not trained on it, nor on a near-duplicate of it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.suggestions import first_line, one_of
from copycat.data.datamodule import DataModule
from copycat.data.group_splitting import split_groups
from copycat.data.pool import JoinedImages, Pool
from copycat.data.progress import show_progress
from copycat.data.split import Part
from copycat.records.image_index import read_images
from copycat.records.predictions import read_predictions
from copycat.records.reader import check_files, find_runs, read_checked_manifest
from copycat.training.train import train

FOLDS = 5
REGULARIZATION = 1e-2
"""Inverse strength of the penalty on the linear head's weights; scikit-learn's C.

Chosen on label noise of other seeds than those in docs/how-to/check-data.md.
"""
SMALL_NETWORK = (
    "model=cnn", "augmentation=light", "optimizer=adam", "optimizer.lr=2e-3", "data.batch_size=32",
    "trainer.max_epochs=30", "callbacks=none", "logger=none",
)  # fmt: skip
"""What trains the network where the packaged backbone is not installed."""

Probabilities = NDArray[np.floating]
"""[N, classes], in the order of the pool; rows of nan for images without a prediction."""


def make_folds(pool: Pool, groups: Sequence[Sequence[int]], *, classes: int) -> Part:
    """Return the images of a pool with near-duplicates as groups, so that a split keeps them together.

    Raises:
        UserError: where a class has images of one group alone, so that no model could learn it from others.
    """
    names = [str(index) for index in range(len(pool))]
    for group in groups:
        for index in group:
            names[index] = str(group[0])
    present = {(int(label), name) for label, name in zip(pool.images.labels.tolist(), names, strict=True)}
    counts = np.bincount([label for label, _ in present], minlength=classes)
    if counts[counts > 0].min() < 2:
        raise UserError("needs two different images of every class")
    return replace(pool.images, groups=names)


def count_folds(part: Part) -> int:
    """Return the number of folds: FOLDS, or as many as the rarest class has groups."""
    assert part.groups is not None
    present = {(int(label), name) for label, name in zip(part.labels.tolist(), part.groups, strict=True)}
    counts = np.bincount([label for label, _ in present])
    return int(min(FOLDS, counts[counts > 0].min()))


def predict_by_head(part: Part, features: NDArray[np.float32], *, classes: int) -> Probabilities:
    """Predict by logistic regression on the features of a frozen backbone, over folds.

    Args:
        part: from `make_folds`.
        features: [N, width].
        classes: number of classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, folds = part.labels.numpy(), count_folds(part)
    probabilities = np.zeros((len(part), classes))
    validating = split_groups(part, [1 / folds] * folds, seed=0)
    for held in show_progress(validating, total=folds, what="Predicting labels"):
        training = np.setdiff1d(np.arange(len(part)), held)
        head = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARIZATION, max_iter=1000))
        head.fit(features[training], labels[training])
        probabilities[np.ix_(held, head[-1].classes_)] = head.predict_proba(features[held])
    return probabilities


@dataclass
class PooledSource:
    """Serve a pool as the training part of a source."""

    part: Part
    classes: Sequence[str]
    synthetic: bool = False

    def load(self) -> Mapping[str, Part]:
        """Return the images as `train`."""
        return {"train": self.part}


def predict_by_network(part: Part, *, classes: Sequence[str]) -> Probabilities:
    """Predict by a small network that is trained on each fold, in a folder that is deleted afterwards."""
    if isinstance(part.images, JoinedImages) and all(isinstance(images, Tensor) for images in part.images.parts):
        part = replace(part, images=torch.cat([images for images in part.images.parts if isinstance(images, Tensor)]))
    probabilities = np.zeros((len(part), len(classes)))
    folds = count_folds(part)
    with tempfile.TemporaryDirectory(prefix="copycat-quality-") as folder:
        for fold in show_progress(range(folds), total=folds, what="Training on folds"):
            held = split_groups(part, [1 / folds] * folds, seed=0)[fold]
            request = compose([*SMALL_NETWORK, f"data.folds={folds}", f"data.fold={fold}"])
            config = {**request.config, "output_dir": folder}
            source = PooledSource(part, classes)
            data = DataModule(source, folds=folds, fold=fold, batch_size=config["data"]["batch_size"])
            result = train(replace(request, config=config), data=data)
            if result.status == "interrupted":
                raise KeyboardInterrupt
            if result.status != "completed":
                raise UserError(f"the network could not be trained: {result.manifest['error']}")
            probabilities[held] = read_predictions(result.folder, classes=len(classes))["val"].probability
    return probabilities


def read_fold_predictions(pool: Pool, folder: Path, *, classes: Sequence[str]) -> Probabilities:
    """Read the predictions of a sweep over folds: the mean over all runs that validated on an image.

    Args:
        pool: the images, which are found by their names, and by their pixels where the runs had the same size.
        folder: of the sweep, or any folder of runs.
        classes: names of the classes, in the order of their labels.

    Raises:
        UserError: where no run has predictions of these images, or one has other classes.
    """
    total, count = np.zeros((len(pool), len(classes))), np.zeros((len(pool), 1))
    index_of = {name: index for index, name in enumerate(pool.images.names)}
    for run in find_runs(folder):
        check_files(run)
        try:
            manifest = read_checked_manifest(run)
            found = list(manifest["data"]["classes"])
            predictions = read_predictions(run, classes=len(found))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"--predictions: {run}: expected a readable run; {first_line(error)}.") from error
        if sorted(found) != sorted(classes):
            raise UserError(f"--predictions: {run}: expected the classes {one_of(classes)}; got {one_of(found)}.")
        images = [image for image in read_images(run) or [] if image.part == "val"]
        if "val" not in predictions or len(images) != len(predictions["val"].label):
            continue
        order = [found.index(name) for name in classes]
        has_size = bool({image.digest for image in images} & set(pool.images.digests))
        for image, row in zip(images, predictions["val"].probability[:, order], strict=True):
            index = index_of.get(image.name)
            if index is not None and (not has_size or pool.images.digests[index] == image.digest):
                total[index] += row
                count[index] += 1
    if not count.any():
        raise UserError(
            f"--predictions: expected the folder of a sweep over data.fold on these images; got {folder}, which has no"
            " prediction of them."
        )
    with np.errstate(invalid="ignore"):
        mean: Probabilities = total / count
    return mean
