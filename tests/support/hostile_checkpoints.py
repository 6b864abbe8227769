"""Untrusted checkpoints and weights, each made hostile in one way."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tests.support.tampering import CANARY, Spoil, fill_canary, link_outside, make_pipe, write_file


class _Touch:
    """A pickle that makes a file where it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.canary),)


def _replace_checkpoint_parts(**parts: Callable[[Path], Any]) -> Spoil:
    """The real checkpoint with some parts replaced."""

    def spoil(folder: Path, canary: Path) -> None:
        path = folder / "checkpoints" / "last.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        torch.save({**checkpoint, **{name: make(canary) for name, make in parts.items()}}, path)

    return spoil


def _bytes(change: Callable[[bytes, Path], bytes]) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        path = folder / "checkpoints" / "last.ckpt"
        path.write_bytes(change(path.read_bytes(), canary))

    return spoil


def _packed(bomb: int) -> Spoil:
    """An archive whose records are packed, one of them with so many zeros more."""

    def spoil(folder: Path, canary: Path) -> None:
        path = folder / "checkpoints" / "last.ckpt"
        with zipfile.ZipFile(path) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in records.items():
                archive.writestr(name, content + (bytes(bomb) if "/data/" in name else b""))

    return spoil


def _tree(depth: int) -> list[Any]:
    """Of a few lists, one of two to that power."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found, found]
    return found


DELETES = {"best_model_path": CANARY, "best_k_models": {CANARY: torch.tensor(1.0)}, "dirpath": ""}
CHECKPOINTS: Mapping[str, Spoil] = {
    "a pickle in the archive": _replace_checkpoint_parts(extra=_Touch),
    "a pickle among the weights": _replace_checkpoint_parts(state_dict=lambda canary: {"x": _Touch(canary)}),
    "a plain pickle": _bytes(lambda content, canary: pickle.dumps(_Touch(canary))),
    "cut short": _bytes(lambda content, canary: content[: len(content) // 2]),
    "empty": _bytes(lambda content, canary: b""),
    "text": _bytes(lambda content, canary: b"hello" * 99),
    "packed records": _packed(0),
    "a zip bomb": _packed(2**26),
    "a tensor larger than the file": _replace_checkpoint_parts(
        state_dict=lambda canary: {"x": torch.zeros(1).expand(2**40)}
    ),
    "a tree of a billion lists": _replace_checkpoint_parts(extra=lambda canary: _tree(30)),
    "no weights": _replace_checkpoint_parts(state_dict=lambda canary: None),
    "weights that are words": _replace_checkpoint_parts(state_dict=lambda canary: {"x": "y"}),
    "a place that is none": _replace_checkpoint_parts(copycat=lambda canary: {"epoch": "x", "batch": -1}),
    "callbacks that delete": _replace_checkpoint_parts(
        callbacks=lambda canary: {"ModelCheckpoint": fill_canary(DELETES, canary)}
    ),
    "callbacks that keep": _replace_checkpoint_parts(
        callbacks=lambda canary: {"M": {"best_k_models": {str(canary): 1}}}
    ),
    "callbacks that delete here": _replace_checkpoint_parts(
        callbacks=lambda canary: {"M": {"last_model_path": "README.md"}}
    ),
    "callbacks that delete above": _replace_checkpoint_parts(callbacks=lambda canary: {"M": [("x", "a/../../b")]}),
    "callbacks that delete at home": _replace_checkpoint_parts(callbacks=lambda canary: {"M": "~/x"}),
    "a pipe": make_pipe("checkpoints/last.ckpt"),
    "a link": link_outside("checkpoints/last.ckpt"),
}
"""By what is done to checkpoints/last.ckpt."""


def _make_safetensors(header: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + body


WEIGHTS: Mapping[str, Spoil] = {
    name: write_file("weights.safetensors", content)
    for name, content in {
        "a header of 2^63 bytes": _make_safetensors(b"{}", 2**63),
        "a header longer than the file": _make_safetensors(b"{}", 1000),
        "a header that is no JSON": _make_safetensors(b"{{{{"),
        "a tensor past the end": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', body=bytes(4)
        ),
        "a tensor larger than its bytes": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}', body=bytes(4)
        ),
        "a tensor of negative size": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', body=bytes(4)
        ),
        "tensors that overlap": _make_safetensors(
            b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            body=bytes(4),
        ),
        "a type that is none": _make_safetensors(
            b'{"x":{"dtype":"EVIL","shape":[1],"data_offsets":[0,4]}}', body=bytes(4)
        ),
        "a header without a floor": _make_safetensors(b"[" * 100_000),
        "a pickle": pickle.dumps({"x": 1}),
        "nothing": b"",
    }.items()
}
"""By what weights.safetensors holds."""
