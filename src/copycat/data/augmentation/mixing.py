"""Mix images, and their labels, with others of their batch."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.augmentation.transforms import Augmentation, box_mask

TABLE_SIZE = 4096  # intervals of the table from 0 to 0.5; the rest is its mirror image


class _Mix(ABC):
    """Mix each image with a partner from its batch.

    Args:
        alpha: of the Beta(alpha, alpha) from which an image's share is drawn. Small: most images stay nearly whole or
            become the other; 1: all shares are equally likely; large: most shares are near a half.
        base: augments each image before.

    Raises:
        UserError: where `base` does not augment images one by one.
    """

    own: ClassVar[int]
    """Random numbers per image beside those of `base`: the first chooses the partner, the second its share."""

    def __init__(self, *, alpha: float, base: Augmentation) -> None:
        """Check `base` and tabulate the Beta distribution."""
        if not isinstance(base, Augmentation):
            got = type(base).__name__
            raise UserError(f"augmentation.base: expected one that changes images one by one; got {got}.")
        self.base, self.share = base, SymmetricBeta(alpha)
        self.draws = self.own + base.draws

    def mixed(self, image: Tensor, label: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed images and labels, as `Mixing.mixed` describes."""
        own, others = uniform[:, : self.own], uniform[:, self.own :]
        image = self.base(image, others)
        partner = partners(own[:, 0])
        image, kept = self.blend(image, image[partner], self.share(own[:, 1]), own)
        return image, torch.lerp(label[partner], label, kept[:, None].to(label))

    @abstractmethod
    def blend(self, image: Tensor, other: Tensor, share: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Blend images with their partners.

        Args:
            image: [B, C, H, W].
            other: their partners, [B, C, H, W].
            share: [B] in [0, 1], how much is to stay of the image.
            uniform: [B, own], random numbers in [0, 1).

        Returns:
            Images, and [B] how much stayed.
        """


class MixUp(_Mix):
    """Average each pixel of two images, weighted by their shares.

    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization.
    """

    own = 2

    def blend(self, image: Tensor, other: Tensor, share: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Blend every pixel by the share."""
        return torch.lerp(other, image, share[:, None, None, None].to(image)), share


class CutMix(_Mix):
    """Replace a box by that of another image; its center is anywhere, and what lies outside the image is cut off.

    Source: Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features.
    """

    own = 4

    def blend(self, image: Tensor, other: Tensor, share: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Replace a box whose area is one minus the share."""
        side = (1 - share).sqrt()
        box = box_mask(image, uniform[:, 2] - side / 2, uniform[:, 3] - side / 2, side)
        return torch.where(box[:, None], other, image), 1 - box.float().mean((1, 2))


def partners(uniform: Tensor) -> Tensor:
    """Pair each image with the one that has the next larger random number, and the largest with the smallest.

    Images have the same partners in any order of the batch, and each image is the partner of one other.

    Args:
        uniform: [B] in [0, 1).

    Returns:
        int64 [B], the index of each image's partner.
    """
    order = uniform.argsort(stable=True)
    partner = torch.empty_like(order)
    partner[order] = order.roll(-1)
    return partner


class SymmetricBeta:
    """Sample Beta(alpha, alpha) from uniform random numbers.

    Neither torch nor NumPy inverts its distribution function, so that is integrated once, by the midpoint rule. Points
    are the denser towards 0 the steeper the density is there, which keeps the integrand finite and smooth for any
    alpha > 0.
    """

    def __init__(self, alpha: float) -> None:
        """Integrate the density into a table."""
        power = max(1.0, 1 / alpha)  # of x = v**power / 2, with v from 0 to 1
        edge = torch.arange(TABLE_SIZE + 1, dtype=torch.float64) / TABLE_SIZE
        middle = (edge[1:] + edge[:-1]) / 2
        log_density = (power * alpha - 1) * middle.log() + (alpha - 1) * torch.log1p(-(middle**power) / 2)
        level = torch.nn.functional.pad((log_density - log_density.max()).exp().cumsum(0), (1, 0))
        self._level, self._value = (level / (2 * level[-1])).float(), (edge**power / 2).float()

    def __call__(self, uniform: Tensor) -> Tensor:
        """Map uniform numbers, [B] in [0, 1), to float32 [B] in [0, 1], increasing."""
        if self._level.device != uniform.device:
            self._level, self._value = self._level.to(uniform.device), self._value.to(uniform.device)
        level, value = self._level, self._value
        low = torch.minimum(uniform, 1 - uniform)
        above = torch.searchsorted(level, low).clamp(1, TABLE_SIZE)
        below = above - 1
        step = (level[above] - level[below]).clamp_min(torch.finfo(torch.float32).tiny)
        quantile = torch.lerp(value[below], value[above], (low - level[below]) / step)
        return torch.where(uniform < 0.5, quantile, 1 - quantile)
