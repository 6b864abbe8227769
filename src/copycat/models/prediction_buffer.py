"""Collect the probabilities and labels of a part's images, in memory or, where they are many, in temporary files."""

import mmap
import weakref
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import IO

import torch
from torch import Tensor

from copycat.models.metrics import concatenate

MAX_BYTES = 2**26
"""Bytes of probabilities and labels that are held in memory, at most."""
MAX_PIECES = 64
"""Small tensors that are kept, at most: each splits a larger freed block, and one of a worker holds a file open."""


def as_bytes(values: Tensor) -> Tensor:
    """Return the content of a tensor, in row-major order, as uint8 [bytes]."""
    content = values.contiguous().reshape(-1)
    if len(content) <= 1:  # it counts as contiguous with any stride, in which it cannot be viewed as bytes
        content = content.clone(memory_format=torch.contiguous_format)
    return content.view(torch.uint8)


class TensorFile:
    """Append tensors to a temporary file without a name, which the operating system removes even if a run is killed."""

    def __init__(self, like: Tensor, *, dim: int) -> None:
        """Create the file, for tensors that differ from `like` in the size of `dim` alone."""
        self.dtype, self.shape, self.dim = like.dtype, list(like.shape), dim
        self.shape[dim] = 0
        self.file: IO[bytes] = TemporaryFile(prefix="copycat-")  # noqa: SIM115 - closed once nothing needs it
        weakref.finalize(self, self.file.close)

    def append(self, piece: Tensor) -> None:
        """Write a tensor behind the others."""
        self.file.write(as_bytes(piece.cpu()).numpy().data)
        self.shape[self.dim] += piece.shape[self.dim]

    def mapped(self) -> Tensor:
        """Return all tensors, concatenated, as a view of the file, which stays valid once the file is closed."""
        self.file.flush()
        return torch.frombuffer(mmap.mmap(self.file.fileno(), 0), dtype=self.dtype).view(self.shape)


class PredictionBuffer:
    """Concatenate the probabilities and labels of batches, with the same bits in memory and in a file.

    Above MAX_BYTES they go to temporary files, in the folder that TMPDIR names, whose pages the operating system can
    write out and read again as they are needed.

    Args:
        dim: along which batches are concatenated: 0, or 1 where the first one counts networks. The predictions of
            several networks stay in memory.
    """

    def __init__(self, *, dim: int = 0) -> None:
        """Start without batches."""
        self.dim = dim
        self.clear()

    def clear(self) -> None:
        """Remove all batches; tensors that `concatenated` returned stay valid."""
        self._pieces: list[tuple[Tensor, Tensor]] = []
        self._recent: list[tuple[Tensor, Tensor]] = []
        self._files: list[TensorFile] = []
        self._bytes = 0
        self.sizes: list[int] = []
        """Images of each batch."""

    def append(self, probability: Tensor, label: Tensor) -> None:
        """Add a batch."""
        self.sizes.append(label.shape[self.dim])
        if self._files:
            self._write(probability, label)
            return
        self._recent.append((probability, label))
        self._bytes += probability.nbytes + label.nbytes
        if len(self._recent) == MAX_PIECES:
            self._pieces, self._recent = [*self._pieces, self._joined(self._recent)], []
        if self._bytes > MAX_BYTES and (self.dim == 0 or len(label) == 1):
            self._files = [TensorFile(each, dim=self.dim) for each in (probability, label)]
            for piece in (*self._pieces, *self._recent):
                self._write(*piece)
            self._pieces, self._recent = [], []

    def concatenated(self) -> tuple[Tensor, Tensor]:
        """Return the probabilities and labels of all batches, on the last one's device or as a view of a file."""
        if self._files:
            probability, label = (file.mapped() for file in self._files)
            return probability, label
        return self._joined([*self._pieces, *self._recent])

    def _joined(self, pieces: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        if len(pieces) == 1:
            return pieces[0]
        device = pieces[-1][1].device  # earlier ones may come from a checkpoint
        first, second = ([piece.to(device) for piece in each] for each in zip(*pieces, strict=True))
        return concatenate(first, dim=self.dim), concatenate(second, dim=self.dim)

    def _write(self, probability: Tensor, label: Tensor) -> None:
        for file, piece in zip(self._files, (probability, label), strict=True):
            file.append(piece)
