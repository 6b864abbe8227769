"""Compile the training steps of a network by torch.compile."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from shutil import which
from typing import Any

import torch
from torch import Tensor, nn


def compile_network(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a compiled call of a network, whose modules, names and weights stay as they are.

    Each shape of a batch has code of its own, so that bits do not depend on the shapes before it. Nothing is chosen by
    timing, which would vary from run to run. What the process compiled before is forgotten: beyond a limit, torch would
    not compile a later trial of a sweep.
    """
    with warnings.catch_warnings(action="ignore"):  # of torch's own modules
        import_module("torch._inductor.compile_fx")
    torch.compiler.reset()

    def compute_logits(image: Tensor) -> Tensor:
        logits: Tensor = network(image)
        return logits

    settings: dict[str, Any] = {}
    known = torch._inductor.list_options()
    if "deterministic" in known:
        settings["deterministic"] = True
    if not torch.accelerator.is_available():
        settings["compile_threads"] = 1  # no pool of processes for one network
    compiled: Callable[[Tensor], Tensor] = torch.compile(compute_logits, dynamic=False, options=settings)
    return compiled


def find_missing_compiler(device: str | None) -> str | None:
    """Return the requirement of torch.compile for a type of device that this machine lacks; None if none."""
    if device == "cuda" and find_spec("triton") is None:
        return "the package triton"
    if device == "mps":
        return None
    return None if _find_compiler() else os.environ.get("CXX") or "a C++ compiler"


def describe_compiler() -> str:
    """Return the first line of the C++ compiler's own version; empty where there is none."""
    path = _find_compiler()
    if path is None:
        return ""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def _find_compiler() -> str | None:
    """Return the path of the compiler that torch takes: that of CXX, or the first on the path."""
    names = ["cl"] if sys.platform == "win32" else ["clang++"] if sys.platform == "darwin" else ["g++"]
    return next(filter(None, map(which, [os.environ["CXX"]] if os.environ.get("CXX") else names)), None)
