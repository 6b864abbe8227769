"""Compute the features of a frozen backbone once an image, and cache them in memory and on disk."""

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

from copycat.config.atomic_write import replaced_file
from copycat.models.backbone import Backbone

MAX_CACHED_IMAGES = 20_000  # maximum number of images whose features are cached
MAX_CACHED_BATCHES = 64  # maximum number of batches cached by tensor identity


_caching = ContextVar("caching", default=True)


@contextmanager
def disable_feature_cache() -> Iterator[None]:
    """Cache no features of images that are processed meanwhile, such as augmented ones, which do not recur."""
    token = _caching.set(False)
    try:
        yield
    finally:
        _caching.reset(token)


@dataclass
class FeatureCache:
    """Hold the features of images, by their hashes, as computed on one kind of device."""

    file: Path | None
    features: dict[bytes, Tensor]
    saved: int
    """Number of features that the file holds."""


class FrozenFeatures:
    """Compute and cache features of images by a frozen backbone.

    Args:
        backbone: is neither trained nor saved.
        folder: where features are saved, in a file for each backbone; None to keep them in memory alone.
    """

    def __init__(self, backbone: Backbone, *, folder: Path | None = None) -> None:
        """Freeze the backbone, with an empty cache."""
        self.backbone, self.folder = backbone, folder
        backbone.network.eval().requires_grad_(False)
        self._caches: dict[torch.device, FeatureCache] = {}
        self._batches: list[tuple[Tensor, int, Tensor]] = []

    def __call__(self, image: Tensor) -> Tensor:
        """Return the features of images, from the cache where it has them.

        An image's features have the same bits in every batch: the backbone processes one image at a time, in float32
        whatever the precision of the images.

        Shapes: [B, 3, H, W] in [0, 1] -> [B, width].
        """
        followed = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
        if image.requires_grad or image.device.type == "meta" or followed:
            return self._direct(image)
        for batch, version, found in self._batches:
            if batch is image and image._version == version:
                return found
        with torch.inference_mode(False), torch.no_grad():
            found = self._of_each(image)
        # a view of the whole data set recurs each epoch; a collated batch is discarded after its step
        if _caching.get() and image._is_view() and len(self._batches) < MAX_CACHED_BATCHES:
            self._batches.append((image, image._version, found))
        return found

    def file(self, device: torch.device) -> Path | None:
        """Return the path of the cache, which differs between devices that compute different bits."""
        return self.folder / f"{self.backbone.fingerprint(device)}.safetensors" if self.folder else None

    def _cache_of(self, device: torch.device) -> FeatureCache:
        """Read the cache at its first use, as a network on the meta device has no weights to find it by."""
        if device not in self._caches:
            file = self.file(device)
            features = {} if file is None else read_features(file)
            self._caches[device] = FeatureCache(file, features, len(features))
        return self._caches[device]

    def _direct(self, image: Tensor) -> Tensor:
        network, pixels = self.backbone.network, self.backbone.pixels
        if pixels.mean.device != image.device:  # in an export, tracing each tensor's move takes a minute
            network, pixels = network.to(image.device), pixels.to(image.device)
        if image.dtype == pixels.mean.dtype:
            found: Tensor = network(pixels(image))
            return found
        computed: Tensor = network(pixels(image.to(pixels.mean.dtype)))
        return computed.to(image.dtype)

    def _of_each(self, image: Tensor) -> Tensor:
        known, dtype = self._cache_of(image.device), image.dtype
        image = image.to(self.backbone.pixels.mean.dtype)
        keys = [blake2b(pixels.tobytes(), digest_size=16).digest() for pixels in image.detach().cpu().numpy()]
        found = []
        for key, one in zip(keys, image, strict=True):
            features = known.features.get(key)
            if features is None:
                features = self._direct(one[None].clone())[0].cpu()
                if len(known.features) < MAX_CACHED_IMAGES and _caching.get():
                    known.features[key] = features
            found.append(features)
        new = len(known.features) - known.saved
        if known.file is not None and new > known.saved // 10:  # not after each batch of a large data set
            write_features(known.file, known.features)
            known.saved = len(known.features)
        return torch.stack(found).to(image.device, dtype)


def read_features(file: Path) -> dict[bytes, Tensor]:
    """Read features by the hashes of images; none where the file is missing or damaged."""
    try:
        content = load_file(file)
        keys, features = content["keys"].numpy(), content["features"]
        return {key.tobytes(): row for key, row in zip(keys, features, strict=True)}
    except (OSError, KeyError, ValueError, SafetensorError):
        return {}


def write_features(file: Path, known: dict[bytes, Tensor]) -> None:
    """Write features by the hashes of images, unless the file cannot be written."""
    keys = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 16).copy()
    content = {"keys": torch.from_numpy(keys), "features": torch.stack([*known.values()])}
    # full disk, unwritable folder: the features are recomputed
    with suppress(OSError, SafetensorError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as temporary:
            save_file(content, temporary)
