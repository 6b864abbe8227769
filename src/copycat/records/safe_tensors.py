"""Read untrusted checkpoints and weights: tensors and plain containers, never code."""

import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from io import BytesIO
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.rule_builders import is_integer, is_number
from copycat.config.suggestions import first_line
from copycat.records.safe_parsers import RESTORE, read_file

MAX_BYTES = 2**36
MAX_HEADER_BYTES = 2**24
MAX_VALUES = 1_000_000
MAX_DEPTH = 64
_PATH_KEY = re.compile(r"path|dir|file|folder|best_k_models|url|uri")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint to the CPU with weights_only=True; raise a UserError where it is no checkpoint of Copycat."""
    try:
        content = read_file(path, max_bytes=MAX_BYTES)
        _check_archive(content)
        loaded: Any = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        _check_values(loaded, max_bytes=len(content))
        _check_parts(loaded)
    except _UNREADABLE as error:
        raise UserError(f"{path}: expected a checkpoint of tensors and plain values; {_reason(error)}.") from error
    checkpoint: dict[str, Any] = loaded
    return checkpoint


_UNREADABLE = (
    *(OSError, ValueError, RuntimeError, EOFError, KeyError, IndexError, TypeError, AttributeError, AssertionError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, OverflowError, RecursionError, MemoryError, NotImplementedError),
    *(ImportError, UnicodeError),
)
"""Errors that readers of zip archives and pickles raise for damaged files."""


def read_weights(path: Path, *, digest: str | None = None) -> Mapping[str, Tensor]:
    """Read the tensors of a safetensors file, layer 2 before layer 10.

    Raises:
        UserError: where it is invalid, or its content has another digest than that of the run.
    """
    try:
        content = read_file(path, max_bytes=MAX_BYTES)
        header = int.from_bytes(content[:8], "little")
        if len(content) < 8 or header > min(MAX_HEADER_BYTES, len(content) - 8):
            raise ValueError(f"its header would take {header} of its {len(content)} bytes")
        tensors: Mapping[str, Tensor] = load(content)
    except (*_UNREADABLE, SafetensorError) as error:
        raise UserError(f"{path}: expected weights as safetensors; {_reason(error)}.") from error
    if digest is not None and blake2b(content, digest_size=16).hexdigest() != digest:
        raise UserError(
            f"{path}: expected the weights that the run recorded; got others, changed or damaged since. {RESTORE}"
        )
    # safetensors keeps no order; a layer's number counts as one
    return {name: tensors[name] for name in sorted(tensors, key=_natural_key)}


def _natural_key(name: str) -> list[str]:
    return [part.zfill(9) if part.isdecimal() else part for part in name.split(".")]


def check_states(path: Path, states: Any) -> None:
    """Raise a UserError where an untrusted callback's state names a file, which ModelCheckpoint might delete."""
    for key, text in _texts(states):
        outside = os.path.isabs(text) or PureWindowsPath(text).drive or ".." in re.split(r"[\\/]", text)
        if outside or text.startswith(("~", "\\")) or "://" in text or (text and _PATH_KEY.search(key)):
            raise UserError(
                f"{path}: expected callbacks that name no file; got {text!a:.80}, and it is not signed by you."
                " Rerun it instead: a rerun reads no checkpoint."
            )


def _check_archive(content: bytes) -> None:
    """Check that an archive is as torch.save writes it: uncompressed records with unique names."""
    if not zipfile.is_zipfile(BytesIO(content)):
        raise ValueError("it is cut short, or no archive of torch.save")
    with zipfile.ZipFile(BytesIO(content)) as archive:
        records = archive.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1 for record in records):
        raise ValueError("it holds records that are packed, as torch.save never writes them")
    if sum(record.file_size for record in records) > len(content):
        raise ValueError("its records would take more room than the file")
    if len({record.filename for record in records}) < len(records):
        raise ValueError("a record comes twice")


def _check_values(root: Any, *, max_bytes: int) -> None:
    """Limit the number of values and the sizes of tensors: a few bytes can expand to billions of values."""
    level, count = [root], 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Tensor) and value.layout == torch.strided and value.nbytes > max_bytes:
                raise ValueError(f"a tensor of {value.numel()} values would take more room than the file")
            if isinstance(value, (dict, list, tuple, set, frozenset)):
                count += len(value)
                if count > MAX_VALUES:
                    raise ValueError(f"it holds more than {MAX_VALUES} values")
                inner += value.values() if isinstance(value, dict) else value
        level = inner
        if not level:
            return
    raise ValueError("it is nested too deep")


def _check_parts(checkpoint: Any) -> None:
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError("it has no state_dict")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in checkpoint["state_dict"].items()):
        raise ValueError("its state_dict holds more than tensors")
    if not isinstance(checkpoint.get("callbacks", {}), dict):
        raise ValueError("its callbacks are no mapping")
    if (state := checkpoint.get("copycat")) is None:
        return
    if not isinstance(state, dict) or not isinstance(state.get("callback_metrics"), dict):
        raise ValueError("its part of Copycat is no mapping")
    if not all(is_integer(state.get(name)) and 0 <= state[name] < 2**63 for name in ("epoch", "batch")):
        raise ValueError("its epoch and batch are no counts")
    if not isinstance(state.get("finished"), bool) or not is_number(state.get("seconds")):
        raise ValueError("it does not say whether the run was finished, and after how many seconds")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield key, str(name)
            yield from _texts(inner, str(name))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _texts(inner, key)


def _reason(error: BaseException) -> str:
    """Return the reason of an error in one line, without the advice that torch puts before it."""
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    line = first_line(ValueError(str(error).rpartition("WeightsUnpickler error: ")[2]))
    return f"{line!a:.160}"[1:].rstrip("'\"")
