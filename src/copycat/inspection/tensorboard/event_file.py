"""TensorBoard event files: many scalars at once, and all that a SummaryWriter writes."""

import os
import socket
import struct
import time
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter, SummaryWriter

_LONG_STEP = 2**34
"""A step of five bytes as a varint; smaller steps are padded to the same length."""
_VALUE = b"\x15" + struct.pack("<f", 1.0)
"""An encoded `simple_value` of 1."""
_MASK = 0xA282EAD8
"""Mask of a record's checksums: https://github.com/google/crc32c, and TensorFlow's record format."""
_numbers = count()

Bytes = NDArray[np.uint8]


class EventFile:
    """Write a new event file into a folder, which is created where its parent exists.

    A record for each epoch holds all of its scalars. All records of a call are encoded together, each event between its
    length and checksums, since encoding one costs as much as encoding many.
    """

    def __init__(self, folder: Path) -> None:
        """Create the file in a folder."""
        folder.mkdir(exist_ok=True)
        self._folder = folder
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._file = (folder / name).open("xb", buffering=0)
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_event(self, event: Event) -> None:
        """Append an event of any kind."""
        content: bytes = event.SerializeToString()
        self._append(b"".join([_length_header(len(content)), content, make_checksum(content)]))

    def add(
        self, tags: Sequence[str], values: NDArray[np.float32], *, steps: Sequence[int], times: NDArray[np.float64]
    ) -> None:
        """Append records of scalars: values [records, tags], steps from 0, times in seconds since 1970."""
        template, offsets = _template(tuple(tags))
        events = np.repeat(template[None], len(steps), axis=0)
        events[:, 1:9] = times.astype("<f8")[:, None].view(np.uint8)
        events[:, 10:15] = (np.asarray(steps)[:, None] >> np.arange(0, 35, 7)) & 0x7F
        events[:, 10:14] |= 0x80  # more bytes follow
        for offset, column in zip(offsets, values.T, strict=True):
            events[:, offset : offset + 4] = np.ascontiguousarray(column, dtype="<f4")[:, None].view(np.uint8)
        records = np.empty((len(events), events.shape[1] + 16), dtype=np.uint8)
        records[:, :12] = np.frombuffer(_length_header(events.shape[1]), dtype=np.uint8)
        records[:, 12:-4] = events
        checksums = np.array([google_crc32c.value(event.tobytes()) for event in events], dtype=np.uint64)
        records[:, -4:] = _mask(checksums).astype("<u4")[:, None].view(np.uint8)
        self._append(records.tobytes())

    def _append(self, records: bytes) -> None:
        """Append records, or none of them where the disk is full: nothing after a part of one could be read."""
        start, rest = self._file.tell(), memoryview(records)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            self._file.seek(start)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # ----- the interface that torch's FileWriter expects

    def get_logdir(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def reopen(self) -> None:
        """Do nothing: the file stays open until the run ends."""


class AppendingWriter(SummaryWriter):
    """Append to a file that is already open, where torch's own writer would create a file and a thread."""

    file_writer: Any
    all_writers: Any

    def __init__(self, folder: str, file: EventFile) -> None:
        """Set the open file, in this folder."""
        self._to = file
        super().__init__(folder)

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _AppendingFileWriter(self._to)
            self.all_writers = {self._to.get_logdir(): self.file_writer}
        return self.file_writer


class _AppendingFileWriter(FileWriter):
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file


@cache
def _template(tags: tuple[str, ...]) -> tuple[Bytes, list[int]]:
    """Encode an event with these scalars, and find the offset of each one's float32.

    Fields come in the order of their numbers.
    """
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=1.0) for tag in tags])
    event = Event(wall_time=1.0, step=_LONG_STEP, summary=summary).SerializeToString()
    offsets, offset = list[int](), 0
    for tag in tags:
        offset = event.index(_VALUE, event.index(tag.encode(), offset) + len(tag.encode())) + 1
        offsets.append(offset)
    return np.frombuffer(event, dtype=np.uint8), offsets


def _length_header(size: int) -> bytes:
    """Return the length of an event and its checksum, which precede it."""
    length = struct.pack("<Q", size)
    return length + make_checksum(length)


def make_checksum(content: bytes) -> bytes:
    """Return the checksum that follows a record's length, and its event."""
    return struct.pack("<I", _mask(google_crc32c.value(content)))


def _mask(checksum: Any) -> Any:
    """Mask a checksum as the record format does: an int, or an array of uint64."""
    return (((checksum >> 15) | (checksum << 17)) + _MASK) & 0xFFFFFFFF
