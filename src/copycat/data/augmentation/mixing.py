"""Images mixed with others of their batch, and their labels with them."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.augmentation.beta import SymmetricBeta
from copycat.data.augmentation.transforms import Augmentation, between


class _Mix(ABC):
    """Args:
    alpha: of the Beta(alpha, alpha) that an image's share is drawn from: small, most images stay nearly whole or become
        the other; 1, all shares are as likely; large, most are near a half.
    base: what is done to each image before.

    Raises:
        UserError: where `base` is nothing that changes images one by one.
    """

    own: ClassVar[int]
    """Random numbers of its own for each image: the first says which partner, the second how much of it."""

    def __init__(self, *, alpha: float, base: Augmentation) -> None:
        if not isinstance(base, Augmentation):
            got = type(base).__name__
            raise UserError(f"augmentation.base: expected one that changes images one by one; got {got}.")
        self.base, self.share = base, SymmetricBeta(alpha)
        self.draws = self.own + base.draws

    def mixed(self, image: Tensor, label: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        own, others = chance[:, : self.own], chance[:, self.own :]
        image = self.base(image, others)
        partner = partners(own[:, 0])
        image, kept = self.blended(image, image[partner], self.share(own[:, 1]), own)
        return image, torch.lerp(label[partner], label, kept[:, None].to(label))

    @abstractmethod
    def blended(self, image: Tensor, other: Tensor, share: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Args:
            image, other: [B, C, H, W].
            share: [B] in [0, 1], how much is to stay of the image.
            chance: [B, own].

        Returns:
            Images, and [B] how much stayed.
        """


class MixUp(_Mix):
    """Each pixel is the mean of two images' by their shares.

    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization.
    """

    own = 2

    def blended(self, image: Tensor, other: Tensor, share: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        return torch.lerp(other, image, share[:, None, None, None].to(image)), share


class CutMix(_Mix):
    """A box comes from the other image: its middle is anywhere, and what lies outside is cut off.

    Source: Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features.
    """

    own = 4

    def blended(self, image: Tensor, other: Tensor, share: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        side = (1 - share).sqrt()
        columns = between(width, chance[:, 2] - side / 2, side)
        rows = between(height, chance[:, 3] - side / 2, side)
        box = rows[:, :, None] & columns[:, None, :]
        return torch.where(box[:, None], other, image), 1 - box.float().mean((1, 2))


def partners(chance: Tensor) -> Tensor:
    """[B] -> [B] int64: the place of the image with the next larger chance, and for the largest, of the smallest.

    Whatever order a batch is in, its images have the same partners, and each is one other's.
    """
    order = chance.argsort(stable=True)
    found = torch.empty_like(order)
    found[order] = order.roll(-1)
    return found
