"""Keep the weights of backbones by digest, in a cache that runs share, so that a run opens without their source."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from copycat.config.atomic_write import replaced_file
from copycat.config.places import cache_folder

KEY = "backbone"
"""Key of the digest in the manifest's `provenance`."""
PACKAGED = "weights"
"""Folder of backbones' weights in a package of `copycat pack`."""


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    digest: str | None
    folder: Path | None
    with_trained: bool


_recorded: ContextVar[_Recorded | None] = ContextVar("recorded", default=None)


@contextmanager
def recorded_backbone(
    manifest: Mapping[str, Any], *, folder: Path | None = None, with_trained: bool = False
) -> Iterator[None]:
    """Build networks meanwhile on the stored weights of the backbone that a run recorded, where there are any.

    Args:
        manifest: of the run; empty for a new one.
        folder: of the run, in whose unpacked package they may lie, if not in the cache.
        with_trained: the run's final weights are loaded afterwards, which replace those of a fine-tuned backbone.
    """
    digest = manifest.get("provenance", {}).get(KEY)
    token = _recorded.set(_Recorded(digest=digest, folder=folder, with_trained=with_trained))
    try:
        yield
    finally:
        _recorded.reset(token)


def has_stored_weights() -> bool:
    """Return whether the weights of the run that is opened are stored."""
    return any(_stored_files())


def load_stored_weights(network: nn.Module) -> bool:
    """Load the stored weights of the run that is opened into a network; return False where there are none."""
    for file in _stored_files():
        with suppress(OSError, SafetensorError, KeyError, RuntimeError):  # damaged: the next, or the source
            stored = load_file(file)
            if weights_digest({name: stored[name] for name in network.state_dict()}) == file.stem:
                network.load_state_dict(stored)
                return True
    return False


def are_weights_replaced(*, frozen: bool) -> bool:
    """Return whether the trained weights of the run that is opened will replace those of the backbone."""
    recorded = _recorded.get()
    return not frozen and recorded is not None and recorded.with_trained


def _stored_files() -> Iterator[Path]:
    """Yield the files that may have the weights of the run that is opened: the cache's, then its package's."""
    recorded = _recorded.get()
    if recorded is None or recorded.digest is None:
        return
    files = [stored_file(recorded.digest)]
    if recorded.folder is not None:  # a run lies in the package's folder, a trial in that of its sweep
        files += [place / PACKAGED / files[0].name for place in recorded.folder.absolute().parents[:2]]
    yield from (file for file in files if file.is_file() and not file.is_symlink())


def stored_file(digest: str) -> Path:
    """Return where the weights with a digest are stored; the file may not exist."""
    return cache_folder() / "weights" / f"{digest}.safetensors"


def store_weights(weights: Mapping[str, Tensor], digest: str) -> None:
    """Store the weights of a backbone, unless they are there already or the cache cannot be written."""
    file = stored_file(digest)
    if file.exists():
        return
    # copies, as safetensors refuses tensors that share memory
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    with suppress(OSError, SafetensorError):  # full disk, unwritable folder: the source is needed later
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as temporary:
            save_file(copies, temporary)


def weights_digest(weights: Mapping[str, Tensor], first: bytes = b"") -> str:
    """Return a hash of a prefix and all tensors with their names, in their order."""
    digest = blake2b(first, digest_size=16)
    for name, tensor in weights.items():
        content = tensor.cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(name.encode() + content.numpy().tobytes())
    return digest.hexdigest()
