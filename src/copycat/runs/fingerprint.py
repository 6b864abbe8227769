"""What a run ran on: code, packages, machine."""

import os
import platform
import subprocess
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import copycat

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy", "h5py", "pillow")


def fingerprint() -> dict[str, Any]:
    """Of code and environment, as plain containers. Taken inside a run, since threads belong to it."""
    return {"code": _code(), "environment": {**_environment(), "threads": torch.get_num_threads()}}


@cache
def _code() -> dict[str, Any]:
    package = Path(copycat.__file__).parent
    hasher = blake2b(digest_size=16)
    for file in sorted(package.rglob("*.py")):
        hasher.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    found: dict[str, Any] = {
        "version": copycat.__version__,
        "digest": hasher.hexdigest(),
        "commit": None,
        "dirty": None,
    }
    checkout = package.parents[1]
    if (checkout / ".git").exists():
        found["commit"] = _git(checkout, "rev-parse", "HEAD")
        changes = _git(checkout, "status", "--porcelain")
        found["dirty"] = None if changes is None else changes != ""
    return found


@cache
def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _git(checkout: Path, *words: str) -> str | None:
    """What git answers, or None where there is no git, or no answer."""
    try:
        done = subprocess.run(["git", "-C", checkout, *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
