"""Remove what a killed run wrote past its checkpoint from its event files."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG, SESSION_START_INFO_TAG

from copycat.config.atomic_write import write_whole
from copycat.inspection.tensorboard.event_file import make_checksum

EVENTS = "events.out.tfevents.*"
MERGED = "events.out.tfevents.0000000000.kept"
"""Sorts before later files whatever their clock: TensorBoard reads files in the order of their names."""
SESSION_TAGS = (SESSION_START_INFO_TAG, SESSION_END_INFO_TAG)


def purge(folder: Path, step: int) -> None:
    """Merge a folder's event files into one, without the records at `step` and later, hyper-parameters and end.

    A run that resumes writes its hyper-parameters again: it may have more epochs. Step 0 leaves no record: a run that
    restarts writes its graph again too.
    """
    files = sorted(folder.glob(EVENTS))
    records = (record for file in files for record in _records(file.read_bytes()))
    # a purge killed between writing the merged file and removing the others leaves each record twice
    kept = dict.fromkeys(raw for raw, event in records if step and not _is_past(event, step))
    if kept:
        write_whole(folder / MERGED, b"".join(kept))
    for file in files:
        if file.name != MERGED or not kept:
            file.unlink()


def _is_past(event: Event, step: int) -> bool:
    values = event.summary.value
    return bool(values) and (event.step >= step or any(value.tag in SESSION_TAGS for value in values))


def _records(content: bytes) -> Iterator[tuple[bytes, Event]]:
    """Yield each record up to a damaged one: its length u64, a checksum u32, the event, a checksum u32.

    All are little-endian. A last record may be cut short by a kill, any by a full disk.
    """
    offset = 0
    while offset + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, offset)
        end = offset + 12 + length + 4
        event = content[offset + 12 : end - 4]
        if end > len(content) or content[end - 4 : end] != make_checksum(event):
            return
        yield content[offset:end], Event.FromString(event)
        offset = end
