"""Tamper with a run folder, by functions that a table of hostile folders lists."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.run_folders import change_config, change_manifest

Spoil = Callable[[Path, Path], None]
"""Takes a run folder, and a path outside of it that exists only once hostile code has run."""
Node = dict[str, Any]

CANARY = "CANARY"
"""Stands for that path in a configuration."""


def fill_canary(value: Any, canary: Path) -> Any:
    if isinstance(value, Mapping):
        return {name: fill_canary(inner, canary) for name, inner in value.items()}
    if isinstance(value, list):
        return [fill_canary(inner, canary) for inner in value]
    return value.replace(CANARY, str(canary)) if isinstance(value, str) else value


def set_key(key: str, value: Any) -> Spoil:
    """Set a dotted key of config.yaml."""

    def spoil(folder: Path, canary: Path) -> None:
        def change(config: Node) -> None:
            *parents, last = key.split(".")
            for name in parents:
                if config.get(name) is None:
                    config[name] = {}
                config = config[name]
            config[last] = fill_canary(value, canary)

        change_config(folder, change)

    return spoil


def set_manifest_key(key: str, value: Any) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        def change(manifest: Node) -> None:
            *parents, last = key.split(".")
            for name in parents:
                manifest = manifest[name]
            manifest[last] = fill_canary(value, canary)

        change_manifest(folder, change)

    return spoil


def write_file(name: str, content: str | bytes) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def append_text(name: str, content: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(content.replace(CANARY, str(canary)))

    return spoil


def link_outside(name: str) -> Spoil:
    """Replace a file, or a folder, by a link to one outside that holds the same."""

    def spoil(folder: Path, canary: Path) -> None:
        outside = canary.with_name(f"outside-{Path(name).name}")
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return spoil


def link_in_new_folder(folder: Path, canary: Path) -> None:
    (folder / "csv").mkdir()
    (folder / "csv" / "x").symlink_to(canary)


def link_hard(folder: Path, canary: Path) -> None:
    os.link(folder / "metrics.csv", canary.with_name("outside.csv"))


def make_pipe(name: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def make_folder(name: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def remove_file(name: str) -> Spoil:
    return lambda folder, canary: (folder / name).unlink()
