"""Images changed by chance as they are trained on: what one gets is a function of (seed, epoch, index) alone."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from copycat.data.streams import key


@runtime_checkable
class Augmentation(Protocol):
    """Changes the images of a batch, on whatever device they are."""

    draws: int
    """Random numbers that it takes for each image."""

    def __call__(self, image: Tensor, chance: Tensor) -> Tensor:
        """Args:
            image: float [B, C, H, W]; not to be written to, since it may be a view of the whole set.
            chance: float32 [B, draws] in [0, 1).

        Returns:
            float [B, C, H, W].
        """


@runtime_checkable
class Mixing(Protocol):
    """Mixes the images of a batch with one another, on whatever device they are."""

    draws: int
    """Random numbers that it takes for each image."""
    base: Augmentation
    """What is done to each image before."""

    def mixed(self, image: Tensor, label: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Args:
            image: float [B, C, H, W]; not to be written to.
            label: float32 [B, classes], each image's share of each class.
            chance: float32 [B, draws] in [0, 1).

        Returns:
            Images and labels of the same shapes.
        """


class Unchanged:
    """No augmentation; a run with it never calls it."""

    draws = 0

    def __call__(self, image: Tensor, chance: Tensor) -> Tensor:
        return image


class Light:
    """Mirrors left and right, and shifts by whole pixels; where that bares a border, the edge is repeated.

    Args:
        flip: share of images that are mirrored.
        shift: pixels, at most, each way.
    """

    draws = 3

    def __init__(self, *, flip: float = 0.5, shift: int = 4) -> None:
        self.flip, self.shift = flip, shift

    def __call__(self, image: Tensor, chance: Tensor) -> Tensor:
        batch, channels, height, width = image.shape
        mirrored, down, right = chance[:, 0] < self.flip, self._pixels(chance[:, 1]), self._pixels(chance[:, 2])
        rows = _moved(height, down, like=image)
        columns = _moved(width, right, like=image)
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        places = (rows[:, :, None] * width + columns[:, None, :]).reshape(batch, 1, height * width)
        return image.flatten(2).gather(2, places.expand(-1, channels, -1)).view(batch, channels, height, width)

    def _pixels(self, chance: Tensor) -> Tensor:
        """[B] int64, each whole number from -shift to shift as often."""
        # an odd count times the largest float below 1 rounds to below the count
        return (chance * (2 * self.shift + 1)).long() - self.shift


def _moved(length: int, by: Tensor, *, like: Tensor) -> Tensor:
    """[B, length] int64: the place that each pixel of a side comes from."""
    return (torch.arange(length, device=like.device) - by[:, None]).clamp(0, length - 1)


def between(length: int, start: Tensor, share: Tensor) -> Tensor:
    """[B, length] bool: the pixels of a side that lie there; start and share are of the whole side."""
    place = torch.arange(length, device=start.device) / length
    found: Tensor = (place >= start[:, None]) & (place < (start + share)[:, None])
    return found


class Chances:
    """The random numbers of a part: drawn for all of its images at once, each epoch anew.

    So neither workers, nor the size or the order of batches, nor what ran before changes what an image gets.
    """

    def __init__(self, *, length: int, draws: int, seed: int) -> None:
        self.length, self.draws, self.seed = length, draws, seed
        self._epoch, self._drawn = -1, torch.empty(0)

    def __call__(self, epoch: int, index: Tensor) -> Tensor:
        """float32 [B, draws] in [0, 1), for the images of these places, on their device."""
        if epoch != self._epoch or self._drawn.device != index.device:
            own = torch.Generator().manual_seed(key("augmentation", self.seed, epoch))
            # on the CPU, so that every device gets the same numbers
            self._drawn = torch.rand(self.length, self.draws, generator=own).to(index.device)
            self._epoch = epoch
        return self._drawn[index]
