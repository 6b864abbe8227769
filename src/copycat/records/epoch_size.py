"""Count the batches and images of an epoch by a recorded configuration, whose trainer may limit them."""

import math
from collections.abc import Mapping
from typing import Any

from copycat.config.dotted_keys import flatten


def count_epoch_batches(config: Mapping[str, Any], images: int, *, part: str) -> int:
    """Return the batches of an epoch's training, or of a validation, on a part with so many images."""
    values = flatten(config)
    batches = math.ceil(images / _batch_size(values, images))
    limit = _number(values, "trainer.overfit_batches") or _number(values, f"trainer.limit_{part}_batches") or 1.0
    return min(limit, batches) if isinstance(limit, int) else int(batches * limit)


def count_epoch_images(config: Mapping[str, Any], images: Mapping[str, int]) -> dict[str, int]:
    """Return the images of each part that an epoch trains on, or validates, of all images of the part."""
    values = flatten(config)
    return {
        part: min(count, count_epoch_batches(config, count, part=part) * _batch_size(values, count))
        for part, count in images.items()
    }


def _batch_size(values: Mapping[str, Any], images: int) -> int:
    return max(1, min(int(_number(values, "data.batch_size") or images), images))


def _number(values: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number above 0; None for anything else, which a stranger's file may hold."""
    value = values.get(key)
    return value if isinstance(value, int | float) and 0 < value < math.inf else None
