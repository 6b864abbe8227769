"""The images of the page of `copycat app`, as data URLs."""

from base64 import b64encode

import numpy as np
import torch
from torch import Tensor

from copycat.inspection.callbacks.contact_sheet import encode_jpeg, encode_png
from copycat.inspection.callbacks.saliency import heatmap

DISPLAY_SIDE = 256
"""Side of a displayed image, in pixels."""
OPAQUE_SHARE = 0.02
"""Share of an image's pixels that a saliency map covers fully: its maximum alone is often a single pixel."""


def photo_url(image: Tensor) -> str:
    """Encode an image, uint8 [3, H, W], as JPEG."""
    return _data_url(encode_jpeg(image.permute(1, 2, 0).numpy()), "jpeg")


def input_url(image: Tensor) -> str:
    """Encode an image, uint8 [3, H, W], without loss."""
    return _data_url(encode_png(image.permute(1, 2, 0).numpy()), "png")


def saliency_url(saliency_map: Tensor | None) -> str | None:
    """Encode a saliency map [H, W] in [0, 1] as an overlay, opaque where pixels affect the prediction most.

    None where no pixel affects it.
    """
    if saliency_map is None or not saliency_map.any():
        return None
    most = torch.quantile(saliency_map.flatten().double(), 1 - OPAQUE_SHARE).clamp(min=1e-9)
    share = (saliency_map / most).clamp(max=1).float()
    alpha = (share.numpy()[..., None] * 255).round().astype(np.uint8)
    overlay = np.concatenate([heatmap(0.1 + 0.4 * share), alpha], axis=-1)  # dark red to orange
    return _data_url(encode_png(overlay), "png")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
