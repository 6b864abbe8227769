"""Hold the texts and digests of many images as columns of bytes, which take a tenth of what Python's strings do."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
_ENCODING = "utf-8", "surrogatepass"  # file names that are not UTF-8 have lone surrogates
_ROWS_PER_CHUNK = 4096

Value = TypeVar("Value")
Indices = Sequence[int] | NDArray[np.int64]


class Column(Sequence[str]):
    """Present strings that are stored as bytes; equal to any sequence of the same strings."""

    def _row(self, index: int) -> str:
        raise NotImplementedError

    def select(self, indices: NDArray[Any]) -> Self:
        """Return some of the strings, in the order given."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> str | Self:
        """Return one string, or those of a slice."""
        if isinstance(index, slice):
            return self.select(np.arange(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._row(index)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the strings."""
        return map(self._row, range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether another sequence has the same strings."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return the strings as a list prints."""
        return repr(list(self))


class TextColumn(Column):
    """Hold texts, such as paths: their UTF-8, and where each begins and ends, 4 or 8 bytes a text below 4 GiB."""

    def __init__(self, content: bytes, starts: NDArray[Any], stops: NDArray[Any]) -> None:
        """Hold the texts `content[start:stop]`."""
        self.content, self.starts, self.stops = content, starts, stops

    @classmethod
    def _concatenated(cls, content: bytes, lengths: NDArray[Any]) -> "TextColumn":
        ends = np.zeros(len(lengths) + 1, dtype=np.uint32 if len(content) < 2**32 else np.int64)
        np.cumsum(lengths, out=ends[1:])
        return cls(content, ends[:-1], ends[1:])

    @classmethod
    def of(cls, texts: Iterable[str]) -> "TextColumn":
        """Store texts, which are taken one at a time."""
        content, lengths = bytearray(), bytearray()
        for text in texts:
            encoded = text.encode(*_ENCODING)
            content += encoded
            lengths += len(encoded).to_bytes(4, "little")
        return cls._concatenated(bytes(content), np.frombuffer(lengths, dtype="<u4"))

    @classmethod
    def joined(cls, columns: "Sequence[TextColumn]") -> "TextColumn":
        """Join columns that `of` made, one after the other."""
        lengths = [column.stops - column.starts for column in columns]
        content = b"".join(column.content for column in columns)
        return cls._concatenated(content, np.concatenate([*lengths, np.zeros(0, dtype=np.uint32)]))

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.starts)

    def _row(self, index: int) -> str:
        return self.content[self.starts[index] : self.stops[index]].decode(*_ENCODING)

    def select(self, indices: NDArray[Any]) -> Self:
        """Return some of the texts, which share their bytes with these."""
        return type(self)(self.content, self.starts[indices], self.stops[indices])

    def sorted(self) -> "TextColumn":
        """Return the texts in the order of their code points, which UTF-8 keeps; the longest decides the memory."""
        width = int((self.stops - self.starts).max(initial=1))
        padded = np.zeros((len(self), width), dtype=np.uint8)
        content = np.frombuffer(self.content, dtype=np.uint8)
        for first in range(0, len(self), _ROWS_PER_CHUNK):
            starts, stops = (each[first : first + _ROWS_PER_CHUNK, None] for each in (self.starts, self.stops))
            places = starts + np.arange(width)
            is_text = places < stops
            padded[first : first + _ROWS_PER_CHUNK][is_text] = content[places[is_text]]
        return self.select(np.argsort(padded.reshape(-1).view(f"S{width}"), kind="stable"))

    @property
    def is_utf8(self) -> bool:
        """Return whether no text has a lone surrogate."""
        try:
            self.content.decode()
        except UnicodeDecodeError:
            return False
        return True


class DigestColumn(Column):
    """Hold digests of 16 bytes, which are presented in hexadecimal."""

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        """Hold the digests of rows, uint8 [N, 16]."""
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of digests."""
        return len(self.rows)

    def _row(self, index: int) -> str:
        digest: bytes = self.rows[index].tobytes()
        return digest.hex()

    def __iter__(self) -> Iterator[str]:
        """Iterate over the digests, of which some are converted together."""
        width = 2 * DIGEST_BYTES
        for first in range(0, len(self), _ROWS_PER_CHUNK):
            text = self.rows[first : first + _ROWS_PER_CHUNK].tobytes().hex()
            yield from (text[start : start + width] for start in range(0, len(text), width))

    def select(self, indices: NDArray[Any]) -> Self:
        """Return some of the digests, as a copy."""
        return type(self)(self.rows[indices])


@overload
def select(values: Column, indices: Indices) -> Column: ...
@overload
def select(values: Sequence[Value], indices: Indices) -> Sequence[Value]: ...
def select(values: Any, indices: Indices) -> Any:
    """Return some of the values, in the order given: a column of a column, else a list."""
    if isinstance(values, Column):
        return values.select(np.asarray(indices, dtype=np.int64))
    return [values[index] for index in indices]


def rank_texts(*columns: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the rank of each text among all different ones of the columns: equal for equal texts, in their order."""
    lengths = np.cumsum([len(column) for column in columns])[:-1]
    digests = [column.rows for column in columns if isinstance(column, DigestColumn)]
    if len(digests) == len(columns):  # big-endian numbers sort as their digits do
        high, low = np.concatenate(digests).view(">u8").astype(np.uint64).T
        order = np.lexsort((low, high))
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (high[order[1:]] != high[order[:-1]]) | (low[order[1:]] != low[order[:-1]])
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.cumsum(is_new)
    else:
        rank_of = {text: rank for rank, text in enumerate(sorted({text for column in columns for text in column}))}
        ranks = np.array([rank_of[text] for column in columns for text in column], dtype=np.int64)
    return np.split(ranks, lengths)
