"""Diagnose why two runs differ: compare their configuration, code, data and environment, likely causes first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.dotted_keys import iterate_values
from copycat.config.suggestions import format_value
from copycat.data.datamodule import DataModule
from copycat.provenance.code import MAX_PATCH_BYTES, as_mapping, uncommitted_patch
from copycat.provenance.code_changes import describe_changes
from copycat.provenance.fingerprint import fingerprint
from copycat.records.image_index import ImageRecord, image_changes, index_images, read_images
from copycat.records.safe_parsers import read_file

PATCH = "code.patch"
PATH_KEYS = ("output_dir", "data.root", "data.file")
"""Keys that hold paths: their contents are compared, not the paths."""
NUMERIC_PACKAGES = ("torch", "numpy", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "pillow", "h5py")
"""Packages that compute the numbers, listed before all others."""
OWN_DISTRIBUTIONS = ("copycat", "copycat-ml")
"""Former and present name of Copycat's distribution, left out as its code is compared."""
MACHINE_LABELS = {
    "threads": "CPU threads",
    "ranks": "ranks",
    "interop_threads": "threads between operations",
    "blas_threads": "threads of BLAS",
    "variables": "environment variables",
    "cpu": "CPU",
    "machine": "architecture",
    "cpu_flags": "vector instructions",
    "cpu_flags_digest": "CPU flags",
    "blas": "BLAS",
    "torch_build": "build of torch",
    "precision": "precision",
    "matmul_precision": "precision of matrix products",
    "compiler": "C++ compiler",
    "default_dtype": "default dtype",
    "deterministic": "trainer.deterministic",
    "cudnn_benchmark": "cuDNN's benchmark",
    "cores": "cores",
    "platform": "system",
}
"""Keys of the environment with their labels, those first that change bits most often."""


@dataclass(frozen=True)
class Cause:
    """Represent one difference between two runs that may change results."""

    kind: str
    """`data`, `config`, `code`, `pack`, `packages`, `python`, `machine`, `accelerator`, `record` or `weights`."""
    line: str
    details: Sequence[str] = ()
    """Further lines, such as one per image, a diff, or one per version."""


@dataclass(frozen=True)
class RunInputs:
    """Hold the recorded inputs of a run: configuration, provenance, images and uncommitted code."""

    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    images: Sequence[ImageRecord] | None
    """None where they are not recorded."""
    patch: bytes | None
    classes: Sequence[str] = ()
    """Names by label; empty where they are not recorded."""

    @classmethod
    def from_folder(cls, folder: Path, manifest: Mapping[str, Any], config: Mapping[str, Any]) -> "RunInputs":
        """Read the inputs of a recorded run from its folder."""
        try:
            changes = read_file(folder / PATCH, max_bytes=2 * MAX_PATCH_BYTES)
        except (OSError, ValueError):
            changes = None
        classes = manifest.get("data", {}).get("classes", ())
        return cls(config, manifest["provenance"], read_images(folder), changes, classes)

    @classmethod
    def from_process(cls, config: Mapping[str, Any], data: DataModule) -> "RunInputs":
        """Collect the inputs of a run that would start in this process."""
        provenance = {**fingerprint(config), "data": data.fingerprint()}
        return cls(config, provenance, index_images(data), uncommitted_patch(config), data.classes)


def diagnose(before: RunInputs, after: RunInputs) -> list[Cause]:
    """Return all differences, most likely causes first; empty where there are none."""
    return [
        *_data(before, after),
        *_config(before, after),
        *_code(before, after),
        *_pack(before, after),
        *_environment(before, after),
    ]


def _data(before: RunInputs, after: RunInputs) -> Iterator[Cause]:
    if before.provenance["data"].get("all") == after.provenance["data"].get("all"):
        return
    if before.classes:  # one that is gone or new moves the labels of others
        gone = [f"class {name} is gone" for name in before.classes if name not in after.classes]
        new = [f"class {name} is new" for name in after.classes if name not in before.classes]
        yield from _join("data", [*gone, *new])
    if before.images is None or after.images is None:
        yield Cause("data", "other images, labels or order; which is not recorded")
        return
    yield Cause("data", *image_changes(before.images, after.images))


def _config(before: RunInputs, after: RunInputs) -> Iterator[Cause]:
    old, new = (dict(iterate_values(inputs.config)) for inputs in (before, after))
    changed = [
        key
        for key in dict.fromkeys([*new, *old])
        if key not in PATH_KEYS and old.get(key, MISSING) != new.get(key, MISSING)
    ]
    yield from _join("config", [f"{key} {_shown_value(old, key)} → {_shown_value(new, key)}" for key in changed])


def _code(before: RunInputs, after: RunInputs) -> Iterator[Cause]:
    codes = [inputs.provenance.get("code", {}) for inputs in (before, after)]
    packages = [as_mapping(code.get("packages")) for code in codes]
    pairs = {name: [each.get(name, {}) for each in packages] for name in [*packages[0], *packages[1]]}
    for name, (was, now) in {"copycat": codes, **pairs}.items():
        if was.get("digest") != now.get("digest"):
            yield Cause("code", *describe_changes(name, was, now, patch=before.patch))


def _pack(before: RunInputs, after: RunInputs) -> Iterator[Cause]:
    """Compare packs: in a pack, sums are computed in another order than in a run alone."""
    packs = [inputs.provenance.get("pack") for inputs in (before, after)]
    old, new = (f"as one of {len(p)} in a pack" if isinstance(p, list) and p else "alone" for p in packs)
    if old != new:
        yield Cause("pack", f"trained {old} → {new}: the same up to rounding")


def _environment(before: RunInputs, after: RunInputs) -> Iterator[Cause]:
    old, new = before.provenance.get("environment", {}), after.provenance.get("environment", {})
    packages, installed = as_mapping(old.get("packages")), as_mapping(new.get("packages"))
    if "packages_digest" not in old:  # schema 1 recorded some of them
        installed = {name: version for name, version in installed.items() if name in packages}
    yield from _join("packages", list(_packages(packages, installed)))
    if old.get("python") != new.get("python"):
        yield Cause("python", f"{old.get('python', 'not recorded')} → {new.get('python')}")
    lines = [
        f"{label} {_value(old.get(key))} → {_value(new.get(key))}"
        for key, label in MACHINE_LABELS.items()
        if key in old and old[key] != new.get(key)
    ]
    yield from _join("machine", lines)
    if "accelerator" in old and old["accelerator"] != new.get("accelerator"):
        yield Cause("accelerator", f"{_value(old['accelerator'])} → {_value(new.get('accelerator'))}")


def _packages(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    numeric = [name for name in NUMERIC_PACKAGES if name in old or name in new]
    for name in dict.fromkeys([*numeric, *sorted({*old, *new})]):
        if name not in OWN_DISTRIBUTIONS and old.get(name) != new.get(name):
            yield f"{name} {old.get(name, 'not installed')} → {new.get(name, 'not installed')}"


def _join(kind: str, lines: Sequence[str]) -> Iterator[Cause]:
    """Yield one cause of several lines, if there are any."""
    if lines:
        yield Cause(kind, lines[0] + (f", and {len(lines) - 1} more" if len(lines) > 1 else ""), lines[1:])


MISSING = object()
"""Sentinel for a missing key, since null is a value."""


def _shown_value(config: Mapping[str, Any], key: str) -> str:
    return format_value(config[key]) if key in config else "no such key"


def _value(value: Any) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_value(inner)}" for name, inner in value.items()) or "none"
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
