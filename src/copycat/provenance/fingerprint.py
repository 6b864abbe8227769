"""Fingerprint the code and environment of a run: Python, packages, machine, and the switches that change bits.

docs/reference/run-folder.md names every key.
"""

import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from copycat.config.worlds import choose_backend, world_size
from copycat.models.compiled_network import describe_compiler
from copycat.provenance.code import code_record

PREFIXES = ("OMP_", "MKL_", "CUBLAS_", "TORCH_")
NAMES = ("PYTHONHASHSEED",)
"""Environment variables that change numerics. No other is recorded: one may hold a secret."""
OF_LAUNCHERS = ("TORCH_NCCL_ASYNC_ERROR_HANDLING",)
"""Variables that torchrun sets for each rank."""
_VECTORS = re.compile(r"avx|sse|fma|f16c|amx|neon|asimd|sve|bf16|fp16", re.IGNORECASE)


def fingerprint(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return code and environment of this process as plain containers.

    Call inside a run, after its parts are built: thread counts and imported packages belong to it.
    """
    return {"code": code_record(config), "environment": environment_record(config)}


def environment_record(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment as plain values; call inside a run, since thread counts belong to it."""
    trainer = config.get("trainer", {})
    threads = _find(r"(?:mkl|omp)_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return {
        **_process_record(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "blas_threads": int(threads) if threads else None,
        "precision": trainer.get("precision"),
        "deterministic": trainer.get("deterministic"),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        **({"compiler": describe_compiler()} if trainer.get("compile") else {}),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "accelerator": {"asked": trainer.get("accelerator"), "found": _accelerators()},
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if (name.startswith(PREFIXES) or name in NAMES) and name not in OF_LAUNCHERS
        },
        **_ranks_record(trainer),
    }


def _ranks_record(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return number and backend of the ranks; empty for one."""
    if (size := world_size(trainer)) == 1:
        return {}
    return {"ranks": {"world_size": size, "backend": choose_backend(trainer, has_cuda=torch.cuda.is_available())}}


@cache
def _process_record() -> dict[str, Any]:
    packages, cpu = installed(), _cpu()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu.get("model name", platform.processor()),
        "cpu_flags": sorted(flag for flag in cpu.get("flags", "").split() if _VECTORS.search(flag)),
        "cpu_flags_digest": _digest(" ".join(sorted(cpu.get("flags", "").split()))),
        "cores": os.cpu_count(),
        "torch_build": {
            "version": torch.__version__,
            "commit": torch.version.git_version,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "digest": _digest(torch.__config__.show()),
        },
        "blas": {"torch": _find(r"BLAS_INFO=(\w+)", torch.__config__.show()) or "unknown", "numpy": _numpy_blas()},
        "packages": packages,
        "packages_digest": _digest(repr(sorted(packages.items()))),
    }


def installed() -> dict[str, str]:
    """Return versions of all installed distributions, from their folder names: reading metadata is slow."""
    versions: dict[str, str] = {}
    for place in dict.fromkeys(sys.path):
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for entry in names:
            if match := re.fullmatch(r"(.+?)-([^-]+)(?:-.*)?\.(?:dist|egg)-info", entry):
                name = re.sub(r"[-_.]+", "-", match[1]).lower()
                versions.setdefault(name, match[2])  # the first on the path is imported
    return dict(sorted(versions.items()))


def _cpu() -> dict[str, str]:
    """Return the first core's entries in /proc/cpuinfo; elsewhere than on Linux its vector instructions alone."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:  # macOS and Windows: the instructions that torch chose
        return {"flags": torch.backends.cpu.get_cpu_capability().lower()}
    lines = (line.partition(":") for line in text.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    return {**fields, "flags": fields.get("flags", fields.get("Features", ""))}


def _find(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def _numpy_blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"].get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _accelerators() -> list[str]:
    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return ["mps"] if torch.backends.mps.is_available() else []


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
