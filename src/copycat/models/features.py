"""What a frozen backbone makes of images: worked out once for each, and kept from run to run."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from copycat.models.backbone import Backbone

MOST = 20_000
"""Images whose features are kept."""
BATCHES = 64
"""That are known without a look at their pixels."""


_keeps = ContextVar("keeps", default=True)


@contextmanager
def keeping_none() -> Iterator[None]:
    """Features of images that come meanwhile are worked out, and not kept: these images will not come again."""
    token = _keeps.set(False)
    try:
        yield
    finally:
        _keeps.reset(token)


@dataclass
class Known:
    """Features by the hash of an image, as one kind of device gives them."""

    file: Path | None
    features: dict[bytes, Tensor]
    saved: int
    """Of them, how many the file holds."""


class Frozen:
    """Args:
    backbone: it is not changed, and is no part of what is trained or saved.
    folder: where features are kept from run to run, in a file for each backbone; None: nowhere.
    """

    def __init__(self, backbone: Backbone, *, folder: Path | None = None) -> None:
        self.backbone, self.folder = backbone, folder
        backbone.network.eval().requires_grad_(False)
        self._known: dict[torch.device, Known] = {}
        self._batches: list[tuple[Tensor, int, Tensor]] = []

    def __call__(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, width].

        An image's features have the same bits whatever batch it comes in: each goes through the backbone by itself.
        """
        followed = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
        if image.requires_grad or image.device.type == "meta" or followed:
            return self._direct(image)
        for batch, version, found in self._batches:
            if batch is image and image._version == version:
                return found
        with torch.inference_mode(False), torch.no_grad():
            found = self._of_each(image)
        # a view of the whole set comes again in each epoch; a batch that was put together is gone after its step
        if _keeps.get() and image._is_view() and len(self._batches) < BATCHES:
            self._batches.append((image, image._version, found))
        return found

    def file(self, device: torch.device) -> Path | None:
        """Another where another device would give other bits."""
        return self.folder / f"{self.backbone.key(device)}.safetensors" if self.folder else None

    def _known_of(self, device: torch.device) -> Known:
        """Looked for when they are needed first: a network that is only looked at, on no device, has no weights."""
        if device not in self._known:
            file = self.file(device)
            features = {} if file is None else read(file)
            self._known[device] = Known(file, features, len(features))
        return self._known[device]

    def _direct(self, image: Tensor) -> Tensor:
        network, pixels = self.backbone.network, self.backbone.pixels
        if pixels.mean.device != image.device:  # an export takes a minute longer where it follows each tensor's move
            network, pixels = network.to(image.device), pixels.to(image.device)
        found: Tensor = network(pixels(image))
        return found

    def _of_each(self, image: Tensor) -> Tensor:
        known = self._known_of(image.device)
        keys = [blake2b(pixels.tobytes(), digest_size=16).digest() for pixels in image.detach().cpu().numpy()]
        found = []
        for key, one in zip(keys, image, strict=True):
            features = known.features.get(key)
            if features is None:
                features = self._direct(one[None].clone())[0].cpu()
                if len(known.features) < MOST and _keeps.get():
                    known.features[key] = features
            found.append(features)
        new = len(known.features) - known.saved
        if known.file is not None and new > known.saved // 10:  # of a large set, not after each batch
            write(known.file, known.features)
            known.saved = len(known.features)
        return torch.stack(found).to(image.device)


def read(file: Path) -> dict[bytes, Tensor]:
    """Features by the hash of an image; none where there is no such file, or it is damaged."""
    try:
        content = load_file(file)
        keys, features = content["keys"].numpy(), content["features"]
        return {key.tobytes(): row for key, row in zip(keys, features, strict=True)}
    except (OSError, KeyError, ValueError, SafetensorError):
        return {}


def write(file: Path, known: dict[bytes, Tensor]) -> None:
    """Under another name, then renamed: other runs may read it meanwhile."""
    keys = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 16).copy()
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(3)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"keys": torch.from_numpy(keys), "features": torch.stack([*known.values()])}, temporary)
        temporary.replace(file)
    except (OSError, SafetensorError):  # a full disk, a folder that is none: they are worked out again
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
