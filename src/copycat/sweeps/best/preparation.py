"""Check the data of a search, and write the table of its divisions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.suggestions import pluralize
from copycat.data.image_measures import measure_images
from copycat.data.near_duplicates import find_near_duplicates
from copycat.data.pool import join_parts
from copycat.inspection.quality.features import center, compute_features, why_no_features
from copycat.records.run_folder import SEARCH_TABLE
from copycat.sweeps.best.division import group_images, write_table
from copycat.sweeps.best.portfolio import BACKBONE_SIZES
from copycat.training.components import build_data

TABLE_KEYS = ("data.fit", "data.max_megapixels", "data.memory_mb", "data.cache", "data.cache_gb", "data.workers")
"""Keys of the data that also hold for the table of its images."""


@dataclass(frozen=True)
class Preparation:
    """Hold the properties of the data of a search."""

    images: int
    """Outside the test part."""
    test_images: int
    classes: Sequence[str]
    """Names by label."""
    unreadable: Sequence[str]
    duplicates: int
    """Groups of near-duplicates."""
    excluded: int
    """Images that have near-duplicates in the test part."""

    def describe(self) -> str:
        """Describe the data in one line."""
        parts = [f"{pluralize(self.images, 'image')} of {len(self.classes)} classes"]
        if self.test_images:
            parts.append(f"{pluralize(self.test_images, 'test image')}, held out to the end")
        if self.duplicates:
            parts.append(f"{pluralize(self.duplicates, 'group')} of near-duplicates, each in one fold")
        if self.excluded:
            parts.append(f"{self.excluded} left out, with near-duplicates in the test part")
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable, left out")
        return "; ".join(parts)


def prepare(words: Sequence[str], folder: Path) -> Preparation:
    """Read the images that overrides name, find their near-duplicates, and write the table of divisions to a folder.

    Raises:
        UserError: where the data cannot be read or divided, or an image may have several classes.
    """
    given = {word.partition("=")[0] for word in words}
    usual = {"data.on_unreadable": "skip", "data.image_size": BACKBONE_SIZES[-1]}
    source = compose(words, check_data=False).config["data"]
    added = [f"{key}={value}" for key, value in usual.items() if key not in given and key.partition(".")[2] in source]
    config = compose([*words, *added], check_data=False).config
    data = build_data(config["data"], seed=config["seed"])
    if data.is_multi_label:
        raise UserError("best: expected images of one class each; these may have several.")
    parts = data.parts
    pool = join_parts(parts)
    if not data.has_official_parts:
        pool = replace(pool, parts=["test" if part == "test" else "train" for part in pool.parts])
    measures = measure_images(pool)
    features = None if why_no_features(data.image_shape[0]) else center(compute_features(pool))
    duplicates = find_near_duplicates(pool.images.digests, measures, features)
    groups = group_images(pool, duplicates)
    division = write_table(
        folder / SEARCH_TABLE, pool, measures, groups, data.classes, seed=config["data"]["split_seed"]
    )
    excluded = int(division.excluded.sum())
    test_images = int(division.held_out.sum()) - excluded
    unreadable = sorted({line for part in parts.values() for line in part.unreadable})
    count = len(pool) - test_images - excluded
    return Preparation(count, test_images, data.classes, unreadable, len(duplicates.groups), excluded)
