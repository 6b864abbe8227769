"""Fingerprint the code of a run: Copycat's own, and the packages that its configuration names targets in."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import copycat
from copycat.config.own_modules import find_targets
from copycat.provenance import git

MAX_FILES = 1000
"""Maximum number of files hashed per user package."""
MAX_PATCH_BYTES = 2**20
"""Bytes."""


@dataclass(frozen=True)
class Package:
    """Represent a package, as a folder or a single file."""

    name: str
    place: Path


OWN = Package("copycat", Path(copycat.__file__).parent)


def code_record(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return version, digest and git state of Copycat, and under `packages` those of the user's own packages."""
    others = {package.name: dict(_package_record(package)) for package in _user_packages(config)}
    return {"version": copycat.__version__, **_package_record(OWN), "packages": others}


def find_changed_files(config: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """Return the imported files of the user's packages that differ from those of a record, as `code_record` returns it.

    The packages are those that the configuration names targets in; what is not imported has no effect.
    """
    imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    packages, changed = as_mapping(recorded.get("packages")), []
    for package in _user_packages(config):
        for name, digest in as_mapping(as_mapping(packages.get(package.name)).get("files")).items():
            path = package.place.parent / name
            if str(path) in imported and path.is_file() and _hash(path.read_bytes(), 8) != digest:
                changed.append(name)
    return changed


def uncommitted_patch(config: Mapping[str, Any]) -> bytes | None:
    """Return the uncommitted changes of that code as git prints them; None where there are none, or no git."""
    patch = b"".join(map(_diff, (OWN, *_user_packages(config))))
    if len(patch) > MAX_PATCH_BYTES:
        cut = patch.rfind(b"\ndiff --git ", 0, MAX_PATCH_BYTES)
        patch = patch[: max(cut, 0) + 1] + b"# cut: the whole is larger than 1 MiB\n"
    return patch or None


@cache
def _diff(package: Package) -> bytes:
    """Return a package's uncommitted changes, cached like the hashes so that both describe the same state."""
    known = _status(package)
    if known is None or known.commit is None or not known.dirty:
        return b""
    words = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "HEAD", "--", str(package.place))
    return git.run(known.top, *words) or b""


@cache
def _package_record(package: Package) -> Mapping[str, Any]:
    """Hash a package's files and read its git state, once per process: imported code does not change."""
    place = package.place
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))[:MAX_FILES]
    files = {path.relative_to(place.parent).as_posix(): _hash(path.read_bytes(), 8) for path in paths}
    record: dict[str, Any] = {
        "digest": _hash(repr(sorted(files.items())).encode(), 16),
        **dict.fromkeys(("commit", "dirty", "untracked")),
        "files": files,
    }
    if known := _status(package):
        others = {name: known.top / name for name in known.untracked}
        record |= {"commit": known.commit, "dirty": list(known.dirty)}
        record["untracked"] = {name: _hash(path.read_bytes(), 8) for name, path in others.items() if path.is_file()}
    return record


@cache
def _status(package: Package) -> git.Status | None:
    return git.status(package.place if package.place.is_dir() else package.place.parent)


def _user_packages(config: Mapping[str, Any]) -> list[Package]:
    """Find the packages of targets that are neither installed nor part of Python.

    Targets are imported by now; a package that is not has no effect on the run.
    """
    packages = {}
    for target in find_targets(config):
        name = target.partition(".")[0]
        module = sys.modules.get(name)
        if name == "copycat" or name in sys.stdlib_module_names or module is None:
            continue
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
        if file is None:
            continue
        place = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
        if not {"site-packages", "dist-packages"} & set(place.parts):
            packages[name] = Package(name, place)
    return list(packages.values())


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a part of a manifest, which may come from an untrusted source; an empty mapping where it is none."""
    return value if isinstance(value, dict) else {}


def _hash(content: bytes, size: int) -> str:
    return blake2b(content, digest_size=size).hexdigest()
