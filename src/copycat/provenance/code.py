"""What code a run is made of: Copycat's own, and the packages that its configuration names targets in."""

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

MOST_FILES = 1000
"""Of a user's own package, looked at."""
LARGEST_PATCH = 2**20


@dataclass(frozen=True)
class Root:
    """A package, as a folder or a single file."""

    name: str
    place: Path

    def files(self) -> list[Path]:
        if self.place.is_file():
            return [self.place]
        return sorted(self.place.rglob("*.py"))[:MOST_FILES]

    def known_as(self, file: Path) -> str:
        return file.relative_to(self.place.parent).as_posix()


def code(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of the package, and under `packages` of the user's own."""
    own = Root("copycat", Path(copycat.__file__).parent)
    others = {root.name: dict(_facts(root)) for root in _users_roots(config)}
    return {"version": copycat.__version__, **_facts(own), "packages": others}


def patch(config: Mapping[str, Any]) -> bytes | None:
    """What is not committed of that code, as git prints it; None where there is nothing, or no git."""
    found = b"".join(map(_diff, (Root("copycat", Path(copycat.__file__).parent), *_users_roots(config))))
    return _capped(found) if found else None


@cache
def _diff(root: Root) -> bytes:
    """Taken once, as the hashes are: it says what these are of."""
    known = _status(root)
    if known is None or known.commit is None or not known.dirty:
        return b""
    words = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "HEAD", "--", str(root.place))
    return git.run(known.top, *words) or b""


def _capped(found: bytes) -> bytes:
    if len(found) <= LARGEST_PATCH:
        return found
    cut = found.rfind(b"\ndiff --git ", 0, LARGEST_PATCH)
    return found[: max(cut, 0) + 1] + b"# cut: the whole is larger than 1 MiB\n"


@cache
def _facts(root: Root) -> Mapping[str, Any]:
    """Hashes of the files, and what git says of them. Taken once: what is imported stays as it was."""
    files = {root.known_as(file): _hash(file.read_bytes(), 8) for file in root.files()}
    known = _status(root)
    facts: dict[str, Any] = {
        "digest": _hash(repr(sorted(files.items())).encode(), 16),
        "commit": known.commit if known else None,
        "dirty": list(known.dirty) if known else None,
        "untracked": None,
        "files": files,
    }
    if known:
        facts["untracked"] = {
            name: _hash((known.top / name).read_bytes(), 8) for name in known.untracked if (known.top / name).is_file()
        }
    return facts


@cache
def _status(root: Root) -> git.Status | None:
    return git.status(root.place if root.place.is_dir() else root.place.parent)


def _users_roots(config: Mapping[str, Any]) -> list[Root]:
    """Packages of targets that are neither installed nor Python's own. They are imported by now, or of no account."""
    found = {}
    for target in find_targets(config):
        name = target.partition(".")[0]
        module = sys.modules.get(name)
        if name == "copycat" or name in sys.stdlib_module_names or module is None:
            continue
        places = [Path(file) for file in [getattr(module, "__file__", None)] if file] or [
            Path(folder) for folder in getattr(module, "__path__", [])
        ]
        for file in places[:1]:
            place = file.parent if file.name == "__init__.py" else file
            if not {"site-packages", "dist-packages"} & set(place.parts):
                found[name] = Root(name, place)
    return list(found.values())


def _hash(content: bytes, size: int) -> str:
    return blake2b(content, digest_size=size).hexdigest()
