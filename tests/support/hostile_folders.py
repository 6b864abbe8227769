"""Untrusted run folders: real runs, each made hostile in one way."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.hostile_requests import list_requests
from tests.support.hostile_targets import EVIL_NODE, SHELL
from tests.support.tampering import (
    Spoil,
    append_text,
    link_hard,
    link_in_new_folder,
    link_outside,
    make_folder,
    make_pipe,
    remove_file,
    set_key,
    set_manifest_key,
    write_file,
)

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@dataclass(frozen=True)
class HostileFolder:
    """Name one way to make a run folder hostile."""

    name: str
    spoil: Spoil
    says: str
    """Key or file that the error message must name."""


def _folders() -> dict[str, tuple[Spoil, str]]:
    return {
        **list_requests(),
        # what lies in the folder
        **{
            f"a link: {name}": (link_outside(name), Path(name).name)
            for name in (
                *("config.yaml", "run.json", "metrics.csv", "weights.safetensors", "tensorboard", "train.log"),
                *("checkpoints", "checkpoints/last.ckpt"),
            )
        },
        "a link that hides": (lambda folder, canary: (folder / ".reserve").symlink_to(canary), ".reserve"),
        "a link for the lock": (lambda folder, canary: (folder / ".lock").symlink_to(canary), ".lock"),
        "a link in a folder of its own": (
            link_in_new_folder,
            "csv",
        ),
        "a hard link": (link_hard, "metrics.csv"),
        "a pipe: config.yaml": (make_pipe("config.yaml"), "config.yaml"),
        "a pipe: run.json": (make_pipe("run.json"), "run.json"),
        "a pipe: metrics.csv": (make_pipe("metrics.csv"), "metrics.csv"),
        "a folder: config.yaml": (make_folder("config.yaml"), "config.yaml"),
        "a folder: run.json": (make_folder("run.json"), "run.json"),
        "no config.yaml": (remove_file("config.yaml"), "config.yaml"),
        "no run.json": (remove_file("run.json"), "run.json"),
        # what is no configuration
        "a YAML bomb": (write_file("config.yaml", BOMB), "config.yaml"),
        "an alias": (append_text("config.yaml", "x: &x [1]\ny: *x\n"), "config.yaml"),
        "python/object/apply": (
            append_text("config.yaml", f"x: !!python/object/apply:os.system ['{SHELL}']\n"),
            "config.yaml",
        ),
        "python/name": (append_text("config.yaml", "x: !!python/name:os.system\n"), "config.yaml"),
        "a tag of one's own": (append_text("config.yaml", "x: !evil 1\n"), "config.yaml"),
        "a key twice": (append_text("config.yaml", "seed: 1\n"), "config.yaml"),
        "a merge": (append_text("config.yaml", "<<: {seed: 1}\n"), "config.yaml"),
        "YAML without a floor": (write_file("config.yaml", "[" * 500_000), "config.yaml"),
        "YAML of a gigabyte's number": (write_file("config.yaml", "seed: " + "9" * 500_000), "config.yaml"),
        "YAML that is too large": (write_file("config.yaml", "#" * 2**21), "config.yaml"),
        "YAML of bytes": (write_file("config.yaml", bytes(range(256))), "config.yaml"),
        "an empty config.yaml": (write_file("config.yaml", b""), "config.yaml"),
        "a list for a configuration": (write_file("config.yaml", "- 1\n"), "config.yaml"),
        "two documents": (append_text("config.yaml", "---\nseed: 1\n"), "config.yaml"),
        "a group that is a list": (set_key("callbacks", [EVIL_NODE]), "callbacks"),
        "a group that is a word": (set_key("model", "mlp"), "model"),
        "a value of another type": (set_key("model.channels", 5), "config.yaml"),
        # what is no manifest
        "a huge run.json": (write_file("run.json", " " * 2**24), "run.json"),
        "run.json without a floor": (write_file("run.json", "[" * 1_000_000), "run.json"),
        "a deep run.json": (set_manifest_key("results.x", json.loads("[" * 200 + "]" * 200)), "run.json"),
        "run.json of NaN": (set_manifest_key("seconds", float("nan")), "run.json"),
        "run.json of infinity": (write_file("run.json", '{"schema": 2, "seconds": 1e999}'), "run.json"),
        "run.json of a list": (write_file("run.json", "[]"), "run.json"),
        "run.json of bytes": (write_file("run.json", b"\xff\xfe"), "run.json"),
        "an empty run.json": (write_file("run.json", b""), "run.json"),
        "no manifest but its schema": (write_file("run.json", '{"schema": 2}'), "run.json"),
        "a manifest of a year to come": (set_manifest_key("schema", 99), "run.json"),
        **{
            f"{key} of another type": (set_manifest_key(key, value), key)
            for key, value in {
                "status": "great",
                "started": 7,
                "seconds": "x",
                "request": [],
                "request.overrides": "x",
                "request.copy_of": 3,
                "provenance.code": None,
                "provenance.code.version": "1 --index-url x",
                "provenance.environment": 1,
                "provenance.environment.threads": 10**9,
                "provenance.data": [1],
                "data.classes": {"a": 1},
                "data.images": {"train": "many"},
                "results": "x",
                "results.final": {"val/loss": "x"},
                "resumed": {},
            }.items()
        },
    }


FOLDERS = [HostileFolder(name, spoil, says) for name, (spoil, says) in _folders().items()]
