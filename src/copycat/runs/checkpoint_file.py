"""Checkpoints and weights as files: whole or not at all, and damage is noticed."""

import os
import secrets
from collections.abc import Mapping
from functools import partial
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import save
from torch import Tensor

from copycat.models.classifier import DivergedError
from copycat.runs.disk import Disk
from copycat.runs.folder import write_whole
from copycat.runs.seal import is_signed, sign

MARK = b"copycat blake2b "
_HEX = 32
SIGNATURE_MARK = b"copycat seal "
_SEAL_HEX = 64
_SIGNED_AS = b"checkpoint"
"""In the place of a configuration: no run's signature is that of a checkpoint."""


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, flushed before they get their name; none with weights that are not finite.

    A checkpoint is a zip archive, and carries a hash of itself in the archive's comment, and a signature over that: it
    is read by torch.load like any other, and a file that was cut short or changed is noticed.

    Args:
        disk: writes them, while training goes on.
    """

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        self.holds = False
        """Whether what is to be saved is kept in memory, in place of what was kept before."""
        self.held: tuple[Path, dict[str, Any]] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise DivergedError(f"weight {name} is not finite after epoch {checkpoint['epoch']}")
        if self.holds:
            self.held = Path(path), copied(checkpoint)
            return
        buffer = BytesIO()
        torch.save(checkpoint, buffer)  # here and now: training goes on to change what is in it
        self.disk.later(partial(_write, Path(path), buffer.getvalue()))

    def write_held(self) -> None:
        """Save what is held, if something is."""
        held, self.held = self.held, None
        if held is not None:
            path, checkpoint = held
            self.save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return found


def _write(path: Path, archive: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir()  # and not its parents: a run folder that was deleted stays so
    write_whole(path, _marked(archive))


def copied(value: Any) -> Any:
    """Containers and tensors anew: training goes on to change them, and a view would bring along all that it views."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [copied(inner) for inner in value]
    return value


def keep(path: Path, kept: Path) -> None:
    """Give a file that is about to be replaced a second name; the one that had it before is gone then."""
    temporary = kept.with_name(f".{kept.name}.{secrets.token_hex(3)}")
    try:
        os.link(path, temporary)
    except FileNotFoundError:
        return
    except OSError:  # a file system without links
        copy(path, kept)
        return
    temporary.replace(kept)
    temporary.unlink(missing_ok=True)  # two names of one file: then nothing was renamed


def copy(path: Path, to: Path) -> None:
    """Write a file's bytes a second time: damage to one is none to the other."""
    write_whole(to, path.read_bytes())


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, by the hash that it carries; None where nothing is."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return error.strerror or type(error).__name__
    size = len(MARK) + _HEX
    if not content:
        return "it is empty"
    if content[-size:-_HEX] != MARK:
        return "it is cut short, or no checkpoint of Copycat"
    archive = content[: -size - len(_signature_of(content))]
    return None if _hash(archive[:-2] + b"\0\0") == content[-_HEX:] else "its bytes have changed since it was written"


def is_own(path: Path) -> bool:
    """Whether the user wrote a checkpoint, and nobody changed it since."""
    if damage(path) is not None:
        return False
    content = path.read_bytes()
    found = _signature_of(content)[len(SIGNATURE_MARK) :].decode(errors="replace")
    return is_signed(_SIGNED_AS, {"hash": content[-_HEX:].decode(), "signature": found})


def _signature_of(content: bytes) -> bytes:
    """The signature in an archive's comment, with its mark; empty where there is none."""
    end = len(content) - len(MARK) - _HEX
    found = content[end - len(SIGNATURE_MARK) - _SEAL_HEX : end]
    return found if found.startswith(SIGNATURE_MARK) else b""


def _marked(archive: bytes) -> bytes:
    digest = _hash(archive)
    code = sign(_SIGNED_AS, {"hash": digest.decode()})
    comment = (b"" if code is None else SIGNATURE_MARK + code.encode()) + MARK + digest
    return archive[:-2] + len(comment).to_bytes(2, "little") + comment  # an archive ends with its comment, so far none


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=_HEX // 2).hexdigest().encode()


def save_weights(state: Mapping[str, Tensor], path: Path) -> str:
    """Write a state dict as safetensors; its digest."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    content = save(tensors)
    write_whole(path, content)
    return blake2b(content, digest_size=16).hexdigest()
