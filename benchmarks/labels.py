"""Measure how many flipped labels `copycat data check --deep` ranks first.

    python benchmarks/labels.py [--seeds 20] [--network]

Flips 5 % of all labels at random in the cats (where COPYCAT_DATA names their folder) and in the drawn images, ranks all
labels by their out-of-fold probability, and counts the flipped ones among the first 10 %. By chance these would be
10 %. Prints the mean over seeds with its standard deviation, and the lowest. Uses a linear head on features of the
packaged backbone; with --network the small network that is trained where the backbone is not installed, which takes
half a minute a seed.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from machine import description

from copycat.data.pool import Pool, join_parts
from copycat.data.split import Source
from copycat.data.synthetic.dataset import Drawn
from copycat.inspection.quality.features import compute_features
from copycat.inspection.quality.out_of_fold import Probabilities, make_folds, predict_by_head, predict_by_network
from copycat.inspection.quality.suspect_labels import find_suspect_labels

FLIPPED, LOOKED_AT = 0.05, 0.1
"""Share of flipped labels, and of the ranking that is looked at."""


def sources() -> Iterator[tuple[str, Source]]:
    """Yield the data sets by name."""
    if "COPYCAT_DATA" in os.environ:
        from copycat.data.sources.cats import Cats

        yield "cats", Cats()
    yield "drawn", Drawn()


def flip(pool: Pool, seed: int) -> tuple[Pool, set[int]]:
    """Return the pool with flipped labels, and the indices of these."""
    labels = pool.images.labels.clone()
    chosen = np.random.default_rng(seed).choice(len(pool), round(FLIPPED * len(pool)), replace=False)
    labels[torch.from_numpy(chosen)] = 1 - labels[torch.from_numpy(chosen)]
    return replace(pool, images=replace(pool.images, labels=labels)), {*chosen.tolist()}


def main() -> None:
    """Measure, and print a line for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of random choices of flipped labels")
    parser.add_argument("--network", action="store_true", help="train the small network instead of the linear head")
    arguments = parser.parse_args()
    print(description())
    for name, source in sources():
        pool = join_parts(source.load())
        features = None if arguments.network else compute_features(pool)
        found, seconds = [], time.perf_counter()
        for seed in range(arguments.seeds):
            changed, flipped = flip(pool, seed)
            part = make_folds(changed, [], classes=2)
            probabilities: Probabilities
            if features is None:
                probabilities = predict_by_network(part, classes=source.classes)
            else:
                probabilities = predict_by_head(part, features, classes=2)
            ranked = find_suspect_labels(part.labels.numpy(), probabilities).ranked
            found.append(len(flipped & {*ranked[: round(LOOKED_AT * len(pool))]}) / len(flipped))
        spread = statistics.stdev(found) if len(found) > 1 else 0.0
        print(
            f"{name}: {len(flipped)} of {len(pool)} labels flipped; among the first {LOOKED_AT:.0%} ranked"
            f" {statistics.mean(found):.1%} ± {spread:.1%} of them, at least {min(found):.1%}; {len(found)} seeds,"
            f" {(time.perf_counter() - seconds) / len(found):.1f} s each"
        )


if __name__ == "__main__":
    main()
