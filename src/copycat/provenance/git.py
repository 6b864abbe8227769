"""Query git about a folder. The repository may be untrusted: no command that its configuration names is run."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")


@dataclass(frozen=True)
class Status:
    """Hold the git status of a folder; paths are relative to the repository."""

    top: Path
    commit: str | None
    """None before the first commit."""
    dirty: tuple[str, ...]
    """Tracked files that differ from the commit."""
    untracked: tuple[str, ...]
    """Files that are neither tracked nor ignored."""


def status(folder: Path) -> Status | None:
    """Return the git status of a folder; None where there is no repository, no git, or no answer."""
    top = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)
    if top is None:
        return None
    words = ["status", "--porcelain=v2", "--branch", "--untracked-files=all", "--no-renames", "-z", "--", str(folder)]
    answer = run(top, *words)
    if answer is None:
        return None
    commit, dirty, untracked = None, [], []
    for line in answer.decode(errors="surrogateescape").split("\0"):
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif line.startswith("? "):
            untracked.append(line[2:])
        elif line.startswith("1 "):
            dirty.append(line.split(" ", 8)[8])
        elif line.startswith("u "):
            dirty.append(line.split(" ", 10)[10])
    known = commit if commit and COMMIT.fullmatch(commit) else None
    return Status(top, known, tuple(sorted(dirty)), tuple(sorted(untracked)))


def run(folder: Path, *words: str) -> bytes | None:
    """Run git in a folder and return its output; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *_SAFE, *words], capture_output=True, timeout=10, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
