"""Write checkpoints and weights atomically, and detect damaged ones."""

import os
import secrets
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from copycat.config.atomic_write import replace_file, write_whole
from copycat.records.signature import is_signed, sign

MARK = b"copycat blake2b "
_HEX = 32
SIGNATURE_MARK = b"copycat seal "
_SIGNATURE_HEX = 64
_SIGNED_AS = b"checkpoint"
"""Signed in place of a configuration, so that no run's signature is valid for a checkpoint."""


def keep_previous(path: Path, kept: Path) -> None:
    """Give a file that is about to be replaced a second name, in place of the file that had that name."""
    temporary = kept.with_name(f".{kept.name}.{secrets.token_hex(3)}")
    try:
        os.link(path, temporary)
    except FileNotFoundError:
        return
    except OSError:  # a file system without links
        copy(path, kept)
        return
    replace_file(temporary, kept)
    temporary.unlink(missing_ok=True)  # replace does nothing where both names are of one file


def copy(path: Path, to: Path) -> None:
    """Copy a file's bytes: damage to one copy does not affect the other."""
    write_whole(to, path.read_bytes())


def damage(path: Path) -> str | None:
    """Describe the damage of a checkpoint, by the hash it carries; None where it is intact."""
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
    """Return whether the user wrote a checkpoint, and nobody changed it since."""
    if damage(path) is not None:
        return False
    content = path.read_bytes()
    signature = _signature_of(content)[len(SIGNATURE_MARK) :].decode(errors="replace")
    return is_signed(_SIGNED_AS, {"hash": content[-_HEX:].decode(), "signature": signature})


def _signature_of(content: bytes) -> bytes:
    """Return the signature in an archive's comment, with its mark; empty where there is none."""
    end = len(content) - len(MARK) - _HEX
    signature = content[end - len(SIGNATURE_MARK) - _SIGNATURE_HEX : end]
    return signature if signature.startswith(SIGNATURE_MARK) else b""


def with_signature(archive: bytes) -> bytes:
    """Return a zip archive with its hash, and a signature over the hash, in its comment."""
    digest = _hash(archive)
    code = sign(_SIGNED_AS, {"hash": digest.decode()})
    comment = (b"" if code is None else SIGNATURE_MARK + code.encode()) + MARK + digest
    return archive[:-2] + len(comment).to_bytes(2, "little") + comment  # the comment, empty so far, ends the archive


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=_HEX // 2).hexdigest().encode()


def save_weights(state: Mapping[str, Tensor], path: Path) -> str:
    """Write a state dict as safetensors, which hold tied weights once per name, and return the file's digest."""
    tensors, storages = dict[str, Tensor](), set[int]()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        is_shared = (storage := tensor.untyped_storage().data_ptr()) in storages
        tensors[name] = tensor.clone() if is_shared else tensor
        storages.add(storage)
    content = save(tensors)
    write_whole(path, content)
    return blake2b(content, digest_size=16).hexdigest()
