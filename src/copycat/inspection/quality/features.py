"""Compute the features of all images of a pool by the packaged backbone, and each image's distance to its neighbors."""

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from copycat.config.extras import install_command
from copycat.data.loaders import to_float
from copycat.data.near_duplicates import Features
from copycat.data.pool import Pool
from copycat.data.progress import show_progress
from copycat.models.transfer import LITE0, Transfer, efficientnet_lite0

MAX_VALUES = 2**26
"""Largest number of feature values held, 256 MB; the features of more images are projected to fewer dimensions."""
NEIGHBORS = 10
BLOCK = 1024


def why_no_features(channels: int) -> str:
    """Return why features of images of so many channels cannot be computed; nothing where they can."""
    if find_spec(LITE0) is None:
        return f"needs the packaged backbone: {install_command('pretrained')}"
    return "" if channels == 3 else f"the packaged backbone takes images of 3 channels, not {channels}"


def compute_features(pool: Pool) -> NDArray[np.float32]:
    """Return the features of all images, [N, width]; those of each image are cached between runs."""
    network = efficientnet_lite0(out_features=1)
    assert isinstance(network, Transfer)
    frozen, count = network.frozen, len(pool)
    width = min(frozen.backbone.width, max(MAX_VALUES // count, 1))
    projection = None
    if width < frozen.backbone.width:  # random projections keep distances: Johnson and Lindenstrauss 1984
        projection = np.random.default_rng(0).normal(size=(frozen.backbone.width, width)).astype(np.float32)
    features = np.empty((count, width), dtype=np.float32)
    for index in show_progress(range(count), total=count, what="Computing features"):
        row = frozen(to_float(pool.images.images[index][None])).numpy()[0]
        features[index] = row if projection is None else row @ projection
    return features


def center(features: NDArray[np.float32]) -> Features:
    """Return features minus their mean over all images, scaled to length 1."""
    centered = features - features.mean(0)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    scaled: Features = centered / np.maximum(length, np.finfo(np.float32).tiny)
    return scaled


def neighbor_distances(features: Features) -> NDArray[np.float64]:
    """Return each image's mean cosine distance to its nearest neighbors, NEIGHBORS of them where there are so many.

    Source: Ramaswamy et al. 2000, Efficient Algorithms for Mining Outliers from Large Data Sets; the mean by Angiulli
    and Pizzuti 2002.
    """
    count = len(features)
    near = min(NEIGHBORS, count - 1)
    distances = np.zeros(count)
    if not near:
        return distances
    starts = range(0, count, BLOCK)
    for start in show_progress(starts, total=len(starts), what="Finding neighbors"):
        cosine = features[start : start + BLOCK] @ features.T
        rows = np.arange(len(cosine))
        cosine[rows, start + rows] = -np.inf  # not the image itself
        nearest = np.partition(cosine, count - near, axis=1)[:, count - near :]
        distances[start : start + BLOCK] = 1 - nearest.mean(1)
    return distances
