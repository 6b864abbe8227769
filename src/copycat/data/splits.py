"""Training, validation and test parts: official, held out, or one of k folds. No image is in two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.part import Chosen, Part


def split(
    parts: Mapping[str, Part], *, how: str | None, holdout: float, folds: int, fold: int | None, seed: int
) -> dict[str, Part]:
    """Make the parts of a run out of a source's official ones.

    Hold-out and folds cut the official training part; the official validation part is then the test part, since
    nothing was chosen on it.

    Args:
        how: `official`, `holdout` or `folds`; None: folds where `fold` is given, else official where it exists.
        holdout: share of the images held out.
        seed: of the cut, which is stratified: each part has the classes in the same shares.

    Raises:
        UserError: where the source has no such parts, or too few images for them.
    """
    how = how or ("folds" if fold is not None else "official" if "val" in parts else "holdout")
    if how == "official":
        if "val" not in parts:
            raise UserError("data.split=official: expected a source with a validation part. Type data.split=holdout.")
        return dict(parts)
    pool = parts["train"]
    dealt = _deal(pool, folds, seed) if how == "folds" else _hold_out(pool, holdout, seed)
    validating = dealt[(fold or 0) if how == "folds" else 0]
    training = sorted(set(range(len(pool))) - set(validating))
    if not validating or not training:
        raise UserError(
            f"data.split={how}: expected enough images for {folds if how == 'folds' else 2} parts; got {len(pool)}."
        )
    test = parts.get("test", parts.get("val"))
    cut = {"train": _take(pool, training), "val": _take(pool, sorted(validating))}
    return cut | ({"test": test} if test is not None else {})


def _strata(part: Part, seed: int) -> list[list[list[int]]]:
    """By class, in a seeded order, the groups of images that are equal byte for byte and so stay together."""
    groups: dict[str, list[int]] = {}
    for index, digest in enumerate(part.digests):
        groups.setdefault(digest, []).append(index)
    strata: dict[int, list[list[int]]] = {}
    for members in groups.values():
        strata.setdefault(int(part.labels[members[0]]), []).append(members)
    generator = torch.Generator().manual_seed(seed)
    return [
        [strata[label][place] for place in torch.randperm(len(strata[label]), generator=generator).tolist()]
        for label in sorted(strata)
    ]


def _deal(part: Part, hands: int, seed: int) -> list[list[int]]:
    """Folds whose sizes, and whose counts of each class, differ by one at most where no image occurs twice."""
    dealt: list[list[int]] = [[] for _ in range(hands)]
    for turn, members in enumerate(chain.from_iterable(_strata(part, seed))):
        dealt[turn % hands] += members
    return dealt


def _hold_out(part: Part, share: float, seed: int) -> list[list[int]]:
    held: list[int] = []
    for stratum in _strata(part, seed):
        wanted = max(1, round(share * sum(map(len, stratum)))) if len(stratum) > 1 else 0
        taken: list[int] = []
        for members in stratum:
            if len(taken) >= wanted:
                break
            taken += members
        held += taken
    return [held]


def _take(part: Part, indices: Sequence[int]) -> Part:
    images = part.images[torch.tensor(indices)] if isinstance(part.images, Tensor) else Chosen(part.images, indices)
    return replace(
        part,
        images=images,
        labels=part.labels[torch.tensor(indices)],
        names=[part.names[i] for i in indices],
        digests=[part.digests[i] for i in indices],
    )
