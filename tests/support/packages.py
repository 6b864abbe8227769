"""Packages that somebody made hostile, each in one way, with Python's zipfile rather than ours."""

import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

Spoil = Callable[[Path, dict[str, bytes]], None]
"""Writes a package to a path, from the entries of an honest one."""
PLAIN = 0o100644 << 16


def read_entries(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_contents(entries: Mapping[str, bytes], **changes: Any) -> dict[str, bytes]:
    """Return entries whose package.json lists them all, as an attacker would write it."""
    others = {name: content for name, content in entries.items() if name != "package.json"}
    files = {name: blake2b(content, digest_size=16).hexdigest() for name, content in others.items()}
    contents = {**json.loads(entries["package.json"]), "files": files, **changes}
    return {"package.json": json.dumps(contents).encode(), **others}


def write_zip(path: Path, entries: Mapping[str, bytes], *, attributes: Mapping[str, int] = {}, **how: Any) -> None:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name in sorted(entries, key=lambda name: (name != "package.json", name)):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, attributes.get(name, PLAIN)
            info.compress_type = how.get("compression", zipfile.ZIP_STORED)
            archive.writestr(info, entries[name])


def adding(name: str, content: bytes = b"evil", *, attributes: int = PLAIN) -> Spoil:
    def spoil(path: Path, entries: dict[str, bytes]) -> None:
        write_zip(path, with_contents({**entries, name: content}), attributes={name: attributes})

    return spoil


def compressed(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, with_contents({**entries, "run/bomb": bytes(10**7)}), compression=zipfile.ZIP_DEFLATED)


def overlapping(path: Path, entries: dict[str, bytes]) -> None:
    """Let two entries of the central directory share one file's bytes, as in Fifield's bomb."""
    write_zip(path, with_contents({**entries, "run/a": b"x" * 1000, "run/b": b"x" * 1000}))
    content = bytearray(path.read_bytes())
    places = [content.rindex(b"run/" + letter) - 46 for letter in (b"a", b"b")]
    content[places[1] + 42 : places[1] + 46] = content[places[0] + 42 : places[0] + 46]
    path.write_bytes(content)


def twice(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, with_contents({**entries, "run/twicX": b"second", "run/twice": b"first"}))
    path.write_bytes(path.read_bytes().replace(b"run/twicX", b"run/twice"))


def lying_header(path: Path, entries: dict[str, bytes]) -> None:
    """Name an entry in its own header otherwise than in the central directory."""
    write_zip(path, with_contents({**entries, "run/zz": b"evil"}))
    content = path.read_bytes()
    local = content.index(b"run/zz", content.index(b"run/zz") + 1)  # behind package.json, which names it too
    path.write_bytes(content[:local] + b"../zzz" + content[local + 6 :])


def prefixed(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, entries)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())


def followed(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, entries)
    path.write_bytes(path.read_bytes() + b"more")


def truncated(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, entries)
    path.write_bytes(path.read_bytes()[:-1000])


def commented(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, entries)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"x" * 100


def many_entries(path: Path, entries: dict[str, bytes]) -> None:
    """Claim four billion entries."""
    write_zip(path, entries)
    content = bytearray(path.read_bytes())
    content[-14:-10] = struct.pack("<2H", 0xFFFF, 0xFFFF)
    path.write_bytes(content)


def changed(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, {**entries, "run/metrics.csv": b"epoch,train/loss\n0,0.5\n"})


def unlisted(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, {**entries, "run/unlisted": b"x"})


def of_contents(**changes: Any) -> Spoil:
    def spoil(path: Path, entries: dict[str, bytes]) -> None:
        write_zip(path, with_contents(entries, **changes))

    return spoil


def nested(path: Path, entries: dict[str, bytes]) -> None:
    write_zip(path, {**entries, "package.json": b"[" * 100_000})


HOSTILE: dict[str, tuple[Spoil, str]] = {
    "the parent folder": (adding("../evil"), "leads out"),
    "a parent folder inside": (adding("run/../../evil"), "leads out"),
    "an absolute path": (adding("/tmp/evil"), "leads out"),
    "a drive": (adding("C:/evil"), "not every system allows"),
    "a backslash": (adding("run\\..\\evil"), "not every system allows"),
    "a control character": (adding("run/\x1b[2J"), "not every system allows"),
    "a right-to-left mark": (adding("run/\u202egnp.exe"), "not every system allows"),
    "a hidden file": (adding("run/.lock"), "is hidden"),
    "another folder": (adding("etc/passwd"), "none of the folders"),
    "a folder": (adding("run/sub/", b""), "leads out"),
    "a huge name": (adding("run/" + "n" * 60_000), "too long"),
    "a deep name": (adding("run/" + "a/" * 30 + "a"), "too long"),
    "a device of Windows": (adding("run/NUL.txt"), "Windows"),
    "another case": (adding("run/RUN.json"), "comes twice"),
    "a file as folder": (adding("run/run.json/x"), "comes twice"),
    "a link": (adding("run/link", b"/etc/passwd", attributes=0o120777 << 16), "is a link"),
    "a device": (adding("run/device", attributes=0o020666 << 16), "no plain file"),
    "a set-user-id program": (adding("run/program", attributes=0o104755 << 16), "no plain file"),
    "compression": (compressed, "is compressed"),
    "overlap": (overlapping, "other bytes"),
    "a name twice": (twice, "each once"),
    "two names of one entry": (lying_header, "does not follow"),
    "a script in front": (prefixed, "does not follow"),
    "bytes after it": (followed, "followed by something else"),
    "a cut": (truncated, "cut short"),
    "a comment": (commented, "followed by something else"),
    "four billion entries": (many_entries, "more than 50000 entries"),
    "a changed record": (changed, "is not what package.json says"),
    "an unlisted file": (unlisted, "differ in 'run/unlisted'"),
    "no contents": (of_contents(kind="virus"), "kind"),
    "a schema to come": (of_contents(schema=2), "schema"),
    "data elsewhere": (of_contents(data={"run": "../../etc"}), "a folder of the package"),
    "a run elsewhere": (of_contents(environments={"../..": "environment/x"}), "a folder of the package"),
    "nested contents": (nested, "nested too deep"),
}
"""Each hostile package, and what the refusal says."""
