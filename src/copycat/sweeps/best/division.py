"""Divide a data set for nested cross-validation, in a table of images with one column for each division.

A selection compares candidates by cross-validation over inner folds. There is one on all images, which chooses the
model, and one on the images outside each outer fold, whose choice is evaluated on that fold: so no image judges what
it chose. A table holds all divisions, so that candidates with images of different sizes have the same ones.

Source: Varma, Simon 2006, BMC Bioinformatics 7, 91 (nested cross-validation).
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.data.group_splitting import split_groups
from copycat.data.image_measures import ImageMeasures
from copycat.data.near_duplicates import DuplicateGroups
from copycat.data.pool import Pool
from copycat.data.split import Part
from copycat.data.splitting import select_images
from copycat.inspection.quality.table import image_path

FINAL = "final"
"""Column of the division that the chosen model is trained on."""
HELD_OUT, EXCLUDED = "held_out", "exclude"
"""Columns of marks: images of the test part, and of its near-duplicates, and these near-duplicates alone."""
OUTER_FOLDS, INNER_FOLDS = 5, 3
VALIDATION_SHARE = 0.1
"""Share of the training images that validate a model that was chosen; nothing is chosen by them."""
MIN_IMAGES = 4
"""Least number of images of a class that are not near-duplicates: one in an outer fold, one in each inner one."""
ALL_IMAGES = 0
"""Number of the selection on all images; those without an outer fold follow."""


def search_column(selection: int, fold: int) -> str:
    """Return the name of the column of an inner fold."""
    return f"selection_{selection}_fold_{fold}"


def final_column(selection: int) -> str:
    """Return the name of the column for the model that a selection chose."""
    return FINAL if selection == ALL_IMAGES else f"selection_{selection}_final"


@dataclass(frozen=True)
class Division:
    """Hold the columns of a table."""

    outer_folds: int
    columns: Mapping[str, Sequence[str]]
    """`train`, `val` or `test` of each image, by column; images outside a column's division are held out."""
    held_out: NDArray[np.bool_]
    excluded: NDArray[np.bool_]


def divide(part: Part, parts: Sequence[str], *, classes: Sequence[str], seed: int) -> Division:
    """Divide images for nested cross-validation.

    Args:
        part: all images, with a group of each; a group stays in one fold.
        parts: the official part of each image. Test images, or without such the official validation images, are held
            out to the end, as are other images of their groups.
        classes: names of the classes.
        seed: of the divisions.

    Raises:
        UserError: where a class has too few images.
    """
    assert part.groups is not None
    names, groups = np.array(parts), np.array(part.groups)
    tested = "test" if "test" in parts else "val"
    is_test = names == tested
    excluded = np.isin(groups, groups[is_test]) & ~is_test
    pool = np.flatnonzero(~is_test & ~excluded)
    outer_folds = min(OUTER_FOLDS, _count_smallest_class(part, pool, classes))
    columns: dict[str, Sequence[str]] = {}

    def add(name: str, members: NDArray[np.int64], validating: Sequence[int], test: NDArray[np.int64]) -> None:
        column = np.full(len(part), "test", dtype="<U5")  # what is held out is no row of a division
        column[members], column[test] = "train", "test"
        column[members[np.asarray(validating)]] = "val"
        columns[name] = column.tolist()

    outer = split_groups(select_images(part, pool), [1 / outer_folds] * outer_folds, seed=seed)
    for selection in range(outer_folds + 1):
        fold = pool[np.asarray(outer[selection - 1])] if selection else np.flatnonzero(is_test)
        members = np.setdiff1d(pool, fold) if selection else pool
        chosen = select_images(part, members)
        for number, inner in enumerate(split_groups(chosen, [1 / INNER_FOLDS] * INNER_FOLDS, seed=seed)):
            add(search_column(selection, number), members, inner, fold)
        held = split_groups(chosen, [VALIDATION_SHARE, 1 - VALIDATION_SHARE], seed=seed)[0]
        add(final_column(selection), members, held, fold)
    return Division(outer_folds, columns, is_test | excluded, excluded)


def _count_smallest_class(part: Part, pool: NDArray[np.int64], classes: Sequence[str]) -> int:
    """Return the number of groups of the class that has fewest.

    Raises:
        UserError: where they are too few.
    """
    assert part.groups is not None
    labels = part.labels.numpy()
    counts = [len({part.groups[one] for one in pool if labels[one] == label}) for label in range(len(classes))]
    least = int(np.argmin(counts))
    if counts[least] < MIN_IMAGES:
        raise UserError(
            f"best: expected {MIN_IMAGES} images of each class at least that are not near-duplicates; got"
            f" {counts[least]} of {classes[least]}. Add images of it."
        )
    return counts[least]


def group_images(pool: Pool, duplicates: DuplicateGroups) -> list[str]:
    """Return the group of each image: near-duplicates of one class have one, as have groups that the data came with."""
    names = [f"image {index}" for index in range(len(pool))] if pool.groups is None else list(pool.groups)
    labels = pool.images.labels.tolist()
    roots: dict[str, str] = {}

    def find(name: str) -> str:
        while roots.setdefault(name, name) != name:
            name = roots[name]
        return name

    for group in duplicates.groups:
        first: dict[int, int] = {}
        for index in group:
            other = first.setdefault(labels[index], index)
            roots[find(names[index])] = find(names[other])
    return [find(name) for name in names]


def write_table(
    to: Path, pool: Pool, measures: ImageMeasures, groups: Sequence[str], classes: Sequence[str], *, seed: int
) -> Division:
    """Divide a data set, and write its table.

    Raises:
        UserError: where a class has too few images, or the table cannot be written.
    """
    division = divide(replace(pool.images, groups=groups), pool.parts, classes=classes, seed=seed)
    text = StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["path", "label", "group", "width", "height", HELD_OUT, EXCLUDED, *division.columns])
    try:
        for index in range(len(pool)):
            size = int(measures.width[index]), int(measures.height[index])
            marks = int(division.held_out[index]), int(division.excluded[index])
            label = classes[int(pool.images.labels[index])]
            parts = [column[index] for column in division.columns.values()]
            rows.writerow([image_path(pool, index, to), label, groups[index], *size, *marks, *parts])
        write_whole(to, text.getvalue().encode())
    except UnicodeEncodeError as error:
        raise UserError(f"best: expected names of files in UTF-8; got {error.object!a:.200}. Rename it.") from error
    except OSError as error:
        raise UserError(f"{to}: expected a file to write to; {error.strerror}.") from error
    return division
