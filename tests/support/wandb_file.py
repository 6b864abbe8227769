"""Read what W&B's offline files hold: records of LevelDB's log format, behind a header of seven bytes."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32768
HEADER = struct.Struct("<IHB")
"""Checksum, length and kind of a chunk: whole, first, middle or last."""


def read_wandb(folder: Path) -> dict[str, Any]:
    """Return run, history, summary and files of the one offline file in a folder."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    found: dict[str, Any] = {"history": [], "summary": {}, "artifacts": {}, "exit": None}
    for content in _records(file.read_bytes()):
        record = Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = record.run
        elif kind == "history":
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            found["history"].append(row)
        elif kind == "summary":
            found["summary"] |= {
                i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.summary.update
            }
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
        elif kind == "artifact":
            found["artifacts"][record.artifact.name] = [entry.path for entry in record.artifact.manifest.contents]
        elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            artifact = record.request.log_artifact.artifact
            found["artifacts"][artifact.name] = [entry.path for entry in artifact.manifest.contents]
    return found


def _records(content: bytes) -> Iterator[bytes]:
    place, whole = 7, b""
    while place + HEADER.size <= len(content):
        if BLOCK - place % BLOCK < HEADER.size:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = HEADER.unpack_from(content, place)
        place += HEADER.size
        whole += content[place : place + length]
        place += length
        if kind in (1, 4):
            yield whole
            whole = b""
