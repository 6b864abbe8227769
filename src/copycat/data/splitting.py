"""Make training, validation and test parts: official, held out, or one of k folds, without a common image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.group_splitting import split_groups
from copycat.data.pixel_cache import MappedImages
from copycat.data.split import Decoder, Part, Subset
from copycat.data.streams import derive_seed

Group = list[int]  # indices of images that are equal byte for byte, and so stay in one part


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
    if pool.groups is not None or pool.is_multi_label:
        shares = [1 / folds] * folds if how == "folds" else [holdout, 1 - holdout]
        validating = split_groups(pool, shares, seed=seed)[fold or 0]
    elif how == "folds":
        validating = _stratified_folds(pool, folds, seed)[fold or 0]
    else:
        validating = _stratified_holdout(pool, holdout, seed)
    training = sorted(set(range(len(pool))) - set(validating))
    cut = {"train": select_images(pool, training), "val": select_images(pool, sorted(validating))}
    return cut | ({"test": test} if test is not None else {})


def _without_test_images(pool: Part, test: Part) -> Part:
    digests, groups = set(test.digests), set(test.groups or ())
    is_tested = [digest in digests for digest in pool.digests]
    if pool.groups is not None:
        is_tested = [one or group in groups for one, group in zip(is_tested, pool.groups, strict=True)]
    if not any(is_tested):
        return pool
    kept = [index for index, one in enumerate(is_tested) if not one]
    if not kept:
        raise UserError("data.split: expected training images that the test part lacks; it has all of them.")
    aside = [name for name, one in zip(pool.names, is_tested, strict=True) if one]
    return replace(select_images(pool, kept), set_aside=aside)


def _strata(part: Part, seed: int) -> list[list[Group]]:
    """Return groups of equal images by class, ordered by a hash of seed and pixels.

    So the order depends neither on file names nor on torch's version.
    """
    groups: dict[str, Group] = {}
    for index, digest in enumerate(part.digests):
        groups.setdefault(digest, []).append(index)
    strata: dict[int, list[Group]] = {}
    for digest in sorted(groups, key=lambda digest: (derive_seed("split", seed, digest), digest)):
        members = groups[digest]
        strata.setdefault(int(part.labels[members[0]]), []).append(members)
    return [strata[label] for label in sorted(strata)]


def _stratified_folds(part: Part, count: int, seed: int) -> list[list[int]]:
    """Return folds whose sizes and class counts differ by one at most, where no image occurs twice."""
    groups = list(chain.from_iterable(_strata(part, seed)))
    if len(groups) < count:
        raise UserError(f"data.folds: expected at most {len(groups)}, the number of different images; got {count}.")
    folds: list[list[int]] = [[] for _ in range(count)]
    first = derive_seed("first hand", seed) % count  # without it, a single image would be in fold 0 for every seed
    for turn, members in enumerate(groups, start=first):
        folds[turn % count] += members
    return folds


def _stratified_holdout(part: Part, share: float, seed: int) -> list[int]:
    """Return the indices of each class's share to within one image: at least one image, and never the whole class."""
    held: list[int] = []
    seen = 0
    for groups in _strata(part, seed):
        size = sum(map(len, groups))
        wanted = round(share * (seen + size)) - round(share * seen)  # so that rounding errors cancel over classes
        seen += size
        if len(groups) == 1:  # training needs the only image of a class
            continue
        wanted = min(max(wanted, 1), size - 1)
        chosen: list[int] = []
        for members in groups:
            if len(chosen) + len(members) <= wanted:
                chosen += members
        smallest = min(groups, key=len)
        held += chosen or smallest
    if not held:
        raise UserError("data.split=holdout: expected two different images of a class at least; got none such.")
    return held


def select_images(part: Part, indices: Sequence[int]) -> Part:
    """Return some images of a part, in the order given."""
    images: Tensor | Decoder
    if isinstance(part.images, Tensor):
        images = part.images[torch.tensor(indices)]
    elif isinstance(part.images, MappedImages):
        images = part.images.select(indices)
    else:
        images = Subset(part.images, indices)
    return replace(
        part,
        images=images,
        labels=part.labels[torch.tensor(indices)],
        names=[part.names[i] for i in indices],
        digests=[part.digests[i] for i in indices],
        groups=None if part.groups is None else [part.groups[i] for i in indices],
        encoded=None if part.encoded is None else Subset(part.encoded, indices),
    )
