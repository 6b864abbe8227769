"""Make training, validation and test parts: official, held out, or one of k folds, without a common image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.columns import Indices, rank_texts, select
from copycat.data.group_splitting import split_groups
from copycat.data.lazy_images import LazyImages
from copycat.data.pixel_cache import MappedImages
from copycat.data.split import Decoder, Part, Subset
from copycat.data.streams import derive_seed


def split(
    parts: Mapping[str, Part], *, how: str | None, holdout: float, folds: int, fold: int | None, seed: int
) -> dict[str, Part]:
    """Make the parts of a run from a source's official ones.

    Hold-out and folds divide the official training part. The source's test part stays; where it has none, the official
    validation part is the test part, since nothing was chosen by it. Images that the test part has too are left out of
    training, and so are those of its groups. A group of images stays in one part, as do equal images. Official parts
    stay as they are, with their duplicates: the lecture's have one.

    Args:
        parts: the official ones.
        how: `official`, `holdout` or `folds`; None: folds where `fold` is given, else official where it exists.
        holdout: share of the images held out.
        folds: number of folds.
        fold: the one to validate on, from 0.
        seed: of the division, which is stratified: each part has the classes in the same shares. Where images may have
            several classes, images are divided as groups of one are.

    Raises:
        UserError: where the source has no such parts, or too few images for them.
    """
    how = how or ("folds" if fold is not None else "official" if "val" in parts else "holdout")
    if how == "official":
        if "val" not in parts:
            raise UserError("data.split=official: expected a source with a validation part. Type data.split=holdout.")
        return dict(parts)
    test = parts.get("test", parts.get("val"))
    pool = parts["train"] if test is None else _without_test_images(parts["train"], test)
    if how == "folds":
        assert fold is not None, "the configuration's rules hold it against folds"
        assert 0 <= fold < folds
    validating: Indices
    if pool.groups is not None or pool.is_multi_label:
        shares = [1 / folds] * folds if how == "folds" else [holdout, 1 - holdout]
        validating = split_groups(pool, shares, seed=seed)[fold or 0]
    elif how == "folds":
        validating = _stratified_folds(pool, folds, seed)[fold or 0]
    else:
        validating = _stratified_holdout(pool, holdout, seed)
    is_validating = np.zeros(len(pool), dtype=bool)
    is_validating[validating] = True
    cut = {
        "train": select_images(pool, np.flatnonzero(~is_validating)),
        "val": select_images(pool, np.flatnonzero(is_validating)),
    }
    return cut | ({"test": test} if test is not None else {})


def _without_test_images(pool: Part, test: Part) -> Part:
    in_pool, in_test = rank_texts(pool.digests, test.digests)
    is_tested = np.isin(in_pool, in_test)
    if is_tested.all():
        raise UserError("data.split: expected training images that the test part lacks; it has all of them.")
    if pool.groups is not None:
        groups = set(test.groups or ())
        is_tested |= np.fromiter((group in groups for group in pool.groups), dtype=bool, count=len(pool))
    if not is_tested.any():
        return pool
    if is_tested.all():
        raise UserError("data.groups: expected training images of groups that the test part lacks; it has all of them.")
    aside = select(pool.names, np.flatnonzero(is_tested))
    return replace(select_images(pool, np.flatnonzero(~is_tested)), set_aside=aside)


@dataclass(frozen=True)
class Stratum:
    """Hold the images of a class, in groups of equal ones."""

    members: NDArray[np.int64]
    """Indices of the images, group by group."""
    sizes: NDArray[np.int64]
    """Images of each group."""


def _strata(part: Part, seed: int) -> list[Stratum]:
    """Return the images of each class, groups of equal ones ordered by a hash of seed and pixels.

    So the order depends neither on file names nor on torch's version. A group has the class of its first image.
    """
    (ranks,) = rank_texts(part.digests)
    by_rank = np.argsort(ranks, kind="stable")
    starts = np.flatnonzero(np.diff(ranks[by_rank], prepend=-1))
    sizes, first = np.diff(starts, append=len(ranks)), by_rank[starts]
    digests = select(part.digests, first)
    seeds = np.fromiter((derive_seed("split", seed, digest) for digest in digests), dtype=np.int64, count=len(first))
    labels = part.labels.numpy()[first]
    strata = []
    for label in np.unique(labels):
        groups = np.flatnonzero(labels == label)  # in the order of their digests
        groups = groups[np.argsort(seeds[groups], kind="stable")]
        strata.append(Stratum(by_rank[_ranges(starts[groups], sizes[groups])], sizes[groups]))
    return strata


def _ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers from each start on, as many as its size, one after the other."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(sizes.sum())


def _stratified_folds(part: Part, count: int, seed: int) -> list[NDArray[np.int64]]:
    """Return folds whose sizes and class counts differ by one at most, where no image occurs twice."""
    strata = _strata(part, seed)
    members, sizes = (np.concatenate([getattr(one, name) for one in strata]) for name in ("members", "sizes"))
    if len(sizes) < count:
        raise UserError(f"data.folds: expected at most {len(sizes)}, the number of different images; got {count}.")
    first = derive_seed("first hand", seed) % count  # without it, a single image would be in fold 0 for every seed
    fold = np.repeat((np.arange(len(sizes)) + first) % count, sizes)
    return [members[fold == number] for number in range(count)]


def _stratified_holdout(part: Part, share: float, seed: int) -> NDArray[np.int64]:
    """Return the indices of each class's share to within one image: at least one image, and never the whole class."""
    held: list[NDArray[np.int64]] = []
    seen = 0
    for stratum in _strata(part, seed):
        size = len(stratum.members)
        wanted = round(share * (seen + size)) - round(share * seen)  # so that rounding errors cancel over classes
        seen += size
        if len(stratum.sizes) == 1:  # training needs the only image of a class
            continue
        is_chosen = _choose_groups(stratum.sizes, min(max(wanted, 1), size - 1))
        held.append(stratum.members[np.repeat(is_chosen, stratum.sizes)])
    if not held:
        raise UserError("data.split=holdout: expected two different images of a class at least; got none such.")
    return np.concatenate(held)


def _choose_groups(sizes: NDArray[np.int64], wanted: int) -> NDArray[np.bool_]:
    """Return a mask of the groups that fit, taken in order, into the number of images; else the smallest group."""
    is_chosen, left = np.zeros(len(sizes), dtype=bool), wanted
    for group, size in enumerate(sizes):
        if size <= left:
            is_chosen[group] = True
            left -= int(size)
        if not left:
            break
    if left == wanted:
        is_chosen[np.argmin(sizes)] = True
    return is_chosen


def select_images(part: Part, indices: Indices) -> Part:
    """Return some images of a part, in the order given."""
    chosen = np.asarray(indices, dtype=np.int64)
    names, encoded, images = select(part.names, chosen), part.encoded, part.images
    # what is one object stays one, which saves memory
    if isinstance(encoded, LazyImages) and encoded.files is part.names:
        encoded = replace(encoded, files=names)
    elif encoded is not None:
        encoded = _select(encoded, chosen)
    if isinstance(images, Tensor):
        images = images[torch.from_numpy(chosen)]
    elif encoded is not None and images is part.encoded:
        images = encoded
    else:
        images = _select(images, chosen)
    return replace(
        part,
        images=images,
        labels=part.labels[torch.from_numpy(chosen)],
        names=names,
        digests=select(part.digests, chosen),
        groups=None if part.groups is None else select(part.groups, chosen),
        encoded=encoded,
    )


def _select(images: Decoder, chosen: NDArray[np.int64]) -> Decoder:
    return images.select(chosen) if isinstance(images, MappedImages | LazyImages) else Subset(images, chosen)
