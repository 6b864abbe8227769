"""Digest the files of a run and the values of its configuration, so that a later change can be named."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from copycat.config.dotted_keys import iterate_values
from copycat.records.metrics_csv import FILE
from copycat.records.reader import MAX_FILES, list_files
from copycat.records.run_folder import CONFIG, MANIFEST, WEIGHTS
from copycat.records.trial_file import FILE as TRIAL

CALIBRATION = "calibration.json"
WRITTEN_LATER = (MANIFEST, TRIAL, CALIBRATION, "report.html", "report.tex", "report.md", "export")
"""Files and folders that other commands write into a run folder, and the manifest itself."""


def digest_files(folder: Path) -> dict[str, str]:
    """Digest each file that a run wrote, without hidden files; empty for a folder of too many files.

    Raises:
        OSError: where a file cannot be read.
        UserError: where the folder cannot be listed.
    """
    paths = _paths(folder)
    return {name: digest_file(path) for name, path in paths.items()} if len(paths) <= MAX_FILES else {}


def recorded_digests(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of a run's files that its manifest has, by name."""
    results = manifest["results"]
    digests = {
        CONFIG: manifest["request"]["config_digest"],
        FILE: results.get("history_digest"),
        WEIGHTS: results.get("weights_digest"),
        **manifest.get("files", {}),
    }
    return {name: digest for name, digest in digests.items() if digest is not None}


def changed_files(folder: Path, recorded: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each file that no longer matches its digest, with the reason.

    An untrusted path cannot lead outside: only files found in the folder are read.
    """
    paths = _paths(folder)
    for name, digest in recorded.items():
        if name not in paths:
            yield name, "is gone"
        elif digest_file(paths[name]) != digest:
            yield name, "was changed since it was recorded"


def _paths(folder: Path) -> dict[str, Path]:
    """Map names, as a manifest records them, to files."""
    names = [name for name in list_files(folder) if name.partition("/")[0] not in WRITTEN_LATER]
    # file names need not be valid text
    return {
        name.encode(errors="backslashreplace").decode(): folder / name
        for name in names
        if not any(part.startswith(".") for part in name.split("/"))
    }


def digest_file(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def key_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a short hash of each value, by its dotted key."""
    return {key: blake2b(repr(value).encode(), digest_size=4).hexdigest() for key, value in iterate_values(config)}


def changed_keys(config: Mapping[str, Any], digests: Mapping[str, str]) -> list[str]:
    """List the keys whose values do not match the hashes, including added and removed keys."""
    now = key_digests(config)
    return [key for key in dict.fromkeys([*now, *digests]) if now.get(key) != digests.get(key)]
