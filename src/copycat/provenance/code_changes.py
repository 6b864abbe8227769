"""Describe changes of code: which files differ, by their hashes, and which lines, where git has the old version."""

import difflib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import copycat
from copycat.config.suggestions import one_of, pluralize
from copycat.provenance import git

MAX_LINES = 40
MAX_FILES = 8
SAFE_NAME = re.compile(r"copycat/(?:\w+/)*\w+\.py", re.ASCII)
"""Names of package files that may be passed to git: a manifest may come from an untrusted source."""


def describe_changes(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], *, patch: bytes | None
) -> tuple[str, list[str]]:
    """Describe the changes of one package in a line, and as a diff where git has the old version.

    Both are recorded code, as `copycat.provenance.code` returns it; the patch holds the uncommitted changes before.
    """
    old, new = (code["files"] if isinstance(code.get("files"), dict) else {} for code in (before, after))
    files = [file for file in dict.fromkeys([*new, *old]) if old.get(file) != new.get(file)]
    clauses = []
    if not before:
        clauses.append(f"{name}: not recorded")
    elif not after:
        clauses.append(f"{name}: no such package now")
    elif old and new:
        clauses.append(f"{name}: {pluralize(len(files), 'file')} changed: {one_of(files, most=4)}")
    else:
        clauses.append(f"{name}: other files; which is not recorded")
    commits = [str(code.get("commit") or "none")[:7] for code in (before, after)]
    if commits[0] != commits[1]:
        clauses.append(f"commit {commits[0]} → {commits[1]}")
    for when, code in (("then", before), ("now", after)):
        if isinstance(code.get("dirty"), list) and code["dirty"]:
            clauses.append(f"{pluralize(len(code['dirty']), 'file')} not committed {when}")
    diff = list(_diff(files, before, patch=patch)) if name == "copycat" else []
    if len(diff) > MAX_LINES:
        diff = [*diff[:MAX_LINES], f"… {len(diff) - MAX_LINES} lines more"]
    return "; ".join(clauses), diff


def _diff(files: Sequence[str], before: Mapping[str, Any], *, patch: bytes | None) -> Iterator[str]:
    """Yield a unified diff from the recorded files to the current ones."""
    source = Path(copycat.__file__).parents[1]
    commit, plain = before.get("commit"), [file for file in files if SAFE_NAME.fullmatch(file)][:MAX_FILES]
    if not isinstance(commit, str) or not git.COMMIT.fullmatch(commit) or (known := git.status(source)) is None:
        return
    inside = source.relative_to(known.top).as_posix()
    for file in plain:
        path = source / file
        now = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        was = _file_at_commit(known.top, commit, f"{inside}/{file}", patch=patch)
        yield from difflib.unified_diff(
            was.splitlines(), now.splitlines(), f"then/{file}", f"now/{file}", n=1, lineterm=""
        )


def _file_at_commit(top: Path, commit: str, file: str, *, patch: bytes | None) -> str:
    """Return a file at a commit with that time's patch applied; empty where the commit does not have it."""
    content = git.run(top, "show", "--no-textconv", f"{commit}:{file}") or b""
    if patch and file.encode() in patch:
        with tempfile.TemporaryDirectory() as name:
            at = Path(name)
            (at / file).parent.mkdir(parents=True)
            (at / file).write_bytes(content)
            (at / "code.patch").write_bytes(patch)
            # apply the patch to this file alone; git refuses paths outside the folder
            if git.run(at, "apply", f"--include={file}", "code.patch") is not None and (at / file).is_file():
                content = (at / file).read_bytes()
    return content.decode("utf-8", errors="replace")
