"""Augment training images at random, as a function of (seed, epoch, index) alone."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from copycat.data import keyed_random
from copycat.data.keyed_random import Words, hash_words
from copycat.data.streams import derive_seed


@runtime_checkable
class Augmentation(Protocol):
    """Change the images of a batch, on any device."""

    draws: int
    """Random numbers needed per image."""

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        """Augment the images.

        Args:
            image: float [B, C, H, W]; must not be written to, since it may be a view of the whole data set.
            uniform: float32 [B, draws] in [0, 1), random numbers.

        Returns:
            float [B, C, H, W].
        """


@runtime_checkable
class Mixing(Protocol):
    """Mix the images of a batch with one another, on any device."""

    draws: int
    """Random numbers needed per image."""
    base: Augmentation
    """Augments each image before."""

    def mixed(self, image: Tensor, label: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the images and their labels.

        Args:
            image: float [B, C, H, W]; must not be written to.
            label: float32 [B, classes], each image's share of each class.
            uniform: float32 [B, draws] in [0, 1), random numbers.

        Returns:
            Images and labels of the same shapes.
        """


class Unchanged:
    """Leave images unchanged; a run with `augmentation=none` never calls it."""

    draws = 0

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        """Return the images."""
        return image


@dataclass(kw_only=True, eq=False)
class Light:
    """Flip left to right, and shift by whole pixels, repeating the edge where a border is uncovered."""

    draws = 3
    flip: float = 0.5  # share of images that are flipped
    shift: int = 4  # largest shift in pixels, in either direction

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        """Augment images, as `Augmentation` describes."""
        batch, channels, height, width = image.shape
        mirrored, down, right = uniform[:, 0] < self.flip, self._shifts(uniform[:, 1]), self._shifts(uniform[:, 2])
        rows = _source_indices(height, down, like=image)
        columns = _source_indices(width, right, like=image)
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        places = (rows[:, :, None] * width + columns[:, None, :]).reshape(batch, 1, height * width)
        return image.flatten(2).gather(2, places.expand(-1, channels, -1)).view(batch, channels, height, width)

    def _shifts(self, uniform: Tensor) -> Tensor:
        """Return shifts, int64 [B], each whole number from -shift to shift equally likely."""
        # the largest float below 1 times an odd count rounds to less than the count
        return (uniform * (2 * self.shift + 1)).long() - self.shift


def _source_indices(length: int, by: Tensor, *, like: Tensor) -> Tensor:
    """Return the source index of each pixel along a side, int64 [B, length]."""
    return (torch.arange(length, device=like.device) - by[:, None]).clamp(0, length - 1)


def box_mask(image: Tensor, left: Tensor, top: Tensor, side: Tensor) -> Tensor:
    """Return which pixels lie in a box, bool [B, H, W]; its place and side, each [B], are relative to the image."""

    def is_inside(length: int, start: Tensor) -> Tensor:
        place = torch.arange(length, device=side.device) / length
        return (place >= start[:, None]) & (place < (start + side)[:, None])

    height, width = image.shape[-2:]
    return is_inside(height, top)[:, :, None] & is_inside(width, left)[:, None, :]


class UniformNumbers:
    """Draw the random numbers of all images of a part at once, anew each epoch.

    Above KEYED_ABOVE images they are not stored, but computed for the images of each batch.
    So neither workers, nor the size or order of batches, nor earlier epochs change what an image gets.
    """

    def __init__(self, *, length: int, draws: int, seed: int) -> None:
        """Store the settings; numbers are drawn at first use."""
        self.length, self.draws, self.seed = length, draws, seed
        self._epoch, self._drawn = -1, torch.empty(0)

    def __call__(self, epoch: int, index: Tensor) -> Tensor:
        """Return float32 [B, draws] in [0, 1) for the images at `index`, on its device."""
        if self.length > keyed_random.KEYED_ABOVE:
            return self._compute(epoch, index)
        if epoch != self._epoch or self._drawn.device != index.device:
            own = torch.Generator().manual_seed(derive_seed("augmentation", self.seed, epoch))
            # on the CPU, so that every device gets the same numbers
            self._drawn = torch.rand(self.length, self.draws, generator=own).to(index.device)
            self._epoch = epoch
        return self._drawn[index]

    def _compute(self, epoch: int, index: Tensor) -> Tensor:
        key = derive_seed("augmentation", self.seed, epoch)
        places: Words = index.cpu().numpy().astype(np.uint64)[:, None]
        words = places * np.uint64(self.draws) + np.arange(self.draws, dtype=np.uint64)
        hashed = hash_words(np.asarray(words, dtype=np.uint64), key)
        uniform = (hashed >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)  # as torch.rand: 24 bits
        return torch.from_numpy(uniform).to(index.device)
