"""Write a data set as a table for `data=csv`, with what to leave out and which images belong together."""

import csv
import os
from collections.abc import Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from copycat.config.atomic_write import replaced_file, write_whole
from copycat.config.errors import UserError
from copycat.data.conversion.images import text_labels
from copycat.data.lazy_images import LazyImages
from copycat.data.pool import Pool, to_image
from copycat.inspection.quality.deep_check import DeepCheck
from copycat.inspection.quality.findings import list_findings

PRECEDENCE: Mapping[str, int] = {"test": 0, "val": 1, "train": 2}
"""Of near-duplicates in several parts, the first of these is kept, so that the model is not evaluated on fewer."""


def write_quality_table(check: DeepCheck, to: Path, *, exclude: Sequence[str], is_official: bool) -> int:
    """Write the table, and return the number of excluded images.

    Images that are in no file of their own are written as PNG files to a folder beside the table.

    Args:
        check: the check.
        to: the CSV file.
        exclude: kinds of findings whose images are marked by 1 in the column `exclude`; of near-duplicates all but one.
        is_official: whether the parts are the source's own; others are not written, so that the table is split anew.

    Raises:
        UserError: where the table cannot be written or a name is not UTF-8.
    """
    pool = check.pool
    excluded, groups, split = find_excluded(check, exclude), name_groups(check), _official_parts(pool, is_official)
    labels = text_labels(pool.images.labels, check.classes)
    findings: dict[int, list[str]] = {}
    for finding in list_findings(check):
        for found in (found for group in finding.groups for found in group):
            detail = found.caption.partition("\n")[2]
            findings.setdefault(found.index, []).append(f"{finding.kind} {f'({detail})' if detail else ''}".strip())
    text = StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["path", "label", *(["split"] if split else []), "exclude", "group", "findings", "label_quality"])
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        for index in range(len(pool)):
            quality = float("nan") if check.labels is None else check.labels.quality[index]
            rows.writerow(
                [
                    image_path(pool, index, to),
                    labels[index],
                    *([split[index]] if split else []),
                    int(index in excluded),
                    groups[index],
                    "; ".join(findings.get(index, [])),
                    "" if np.isnan(quality) else f"{quality:.4f}",
                ]
            )
        write_whole(to, text.getvalue().encode())
    except UnicodeEncodeError as error:
        raise _encoding_error(error) from error
    except OSError as error:
        raise UserError(f"--csv: expected a file to write to; got {to}: {error.strerror}.") from error
    return len(excluded)


def find_excluded(check: DeepCheck, kinds: Sequence[str]) -> set[int]:
    """Return the images of these kinds of findings; of near-duplicates all but one.

    That is the first, or under different labels the one whose label fits best.
    """

    def rank(index: int, *, has_labels: bool) -> tuple[float, ...]:
        quality = np.nan_to_num(check.labels.quality[index]) if has_labels and check.labels is not None else 0.0
        return PRECEDENCE[check.pool.parts[index]], -quality, index

    excluded: set[int] = set()
    for finding in list_findings(check):
        if finding.kind in kinds:
            for group in finding.groups:
                indices = [found.index for found in group]
                labels = {check.label(index) for index in indices}
                kept = min(indices, key=partial(rank, has_labels=len(labels) > 1))
                excluded |= {*indices} - ({kept} if finding.kind == "duplicates" else set())
    return excluded


def name_groups(check: DeepCheck) -> list[str]:
    """Return the group of each image: near-duplicates have one, as have the groups that the data came with."""
    pool = check.pool
    names = [f"image {index}" for index in range(len(pool))] if pool.groups is None else list(pool.groups)
    merged: dict[str, str] = {}

    def find(name: str) -> str:
        while merged.setdefault(name, name) != name:
            name = merged[name]
        return name

    for group in check.duplicates.groups:
        roots = sorted({find(names[index]) for index in group}, key=names.index)
        merged.update(dict.fromkeys(roots[1:], roots[0]))
    return [find(name) for name in names]


def _official_parts(pool: Pool, is_official: bool) -> list[str]:
    """Return the official part of each image; nothing where the source has training images alone."""
    if is_official:
        return list(pool.parts)
    return ["test" if part == "test" else "train" for part in pool.parts] if "test" in pool.parts else []


def check_names(pool: Pool, to: Path) -> None:
    """Check that a table can hold the paths of the images that have files.

    Raises:
        UserError: where a name is not UTF-8.
    """
    for index, original in enumerate(pool.originals):
        if original is not None and isinstance(original[0], LazyImages):
            try:
                image_path(pool, index, to)
            except UnicodeEncodeError as error:
                raise _encoding_error(error) from error


def _encoding_error(error: UnicodeEncodeError) -> UserError:
    return UserError(f"--csv: expected names of files in UTF-8; got {error.object!a:.200}. Rename it.")


def image_path(pool: Pool, index: int, to: Path) -> str:
    """Return an image's path: below the table's folder relative to it, elsewhere absolute.

    Raises:
        UnicodeEncodeError: where it is not UTF-8.
    """
    folder = to.absolute().parent
    original = pool.originals[index]
    if original is not None and isinstance(original[0], LazyImages):
        path = original[0].root / original[0].files[original[1]]
    else:
        path = folder / f"{to.stem}_images" / pool.parts[index] / f"{index:06}.png"
        _write_png(pool.images.images[index], path)
    path = Path(os.path.normpath(path))
    text = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
    text.encode()  # here the error has this path, in the whole table all of them
    return f"./{text}" if text.startswith((*"=+-@'", " ")) else text  # no formula for a spreadsheet


def _write_png(pixels: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image: Image.Image = to_image(pixels)
    with replaced_file(path) as temporary:
        image.save(temporary, "PNG")
