"""Check the folder or table of a user's own images before torch is imported."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.options import is_option
from copycat.config.places import expand_home
from copycat.config.suggestions import is_plain_value, type_override
from copycat.data.sources.csv_columns import check_groups_key, find_columns
from copycat.data.sources.csv_table import read_table
from copycat.data.sources.file_names import is_address
from copycat.data.sources.forms import PACKAGES
from copycat.data.sources.groups import compile_pattern

HINT = "Type data.root=FOLDER, a folder with one sub-folder of images per class"
ROOT_HINT = "Type data.root=FOLDER, the folder that the table's paths are relative to"


def check_root(root: Path, *, key: str = "data.root", hint: str = HINT) -> None:
    """Check that the folder that a key, a flag or an argument names is there.

    Raises:
        UserError: where it is not.
    """
    if not root.is_dir():
        raise UserError(f"{key}: expected a folder; {root} is {'a file' if root.exists() else 'not there'}. {hint}.")


def check_file(file: Path) -> None:
    """Check that the table of images is there.

    Raises:
        UserError: where it is not.
    """
    if not file.is_file():
        got = "a folder" if file.is_dir() else "not there"
        hint = f"data=folder {type_override('data.root', str(file))}" if file.is_dir() else "data.file=TABLE.csv"
        raise UserError(f"data.file: expected a CSV file of paths and labels; {file} is {got}. Type {hint}.")


def check_rows_root(root: str) -> None:
    """Check that shards, tars or a Lance data set are there, or may be at an address.

    Raises:
        UserError: where they are not.
    """
    if is_address(root):
        require_package("fsspec", wanted_by=f"data.root={root}")
    elif not expand_home(root).exists():
        raise UserError(f"data.root: expected a folder, a file or an address; {root} is not there.")


def list_row_files(root: Path) -> tuple[Path, list[str]]:
    """Return the folder of shards, tars or a Lance data set, and the names of all files in it.

    Raises:
        UserError: where they are not on this machine.
    """
    if root.is_file():
        return root.parent, [root.name]
    if not root.is_dir():
        raise UserError(f"--data: expected a run whose data lies on this machine; got {root}.")
    return root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


ROW_OPTIONS = ("shards", "webdataset", "lance")
"""Options of data whose root may be a folder, a file or an address."""
ROOT_OPTIONS = ("folder", *ROW_OPTIONS)
"""Options of data that need a root."""
CHECKS: Mapping[str, tuple[str, Callable[[Path], None]]] = {"folder": ("root", check_root), "csv": ("file", check_file)}
"""Options of data that read a path, with its key and check."""


def check_typed_root(overrides: Sequence[str]) -> None:
    """Check the folder or table of images that overrides name, before they are composed, which takes longer.

    Raises:
        UserError: where it is not there.
    """
    roots = [word.partition("=")[2] for word in overrides if word.startswith("data.root=")]
    if roots and roots[-1] in ("", "null") and any(f"data={option}" in overrides for option in ROOT_OPTIONS):
        raise _missing_root_error(roots[-1])
    for option, (key, check) in CHECKS.items():
        values = [word.partition("=")[2] for word in overrides if word.startswith(f"data.{key}=")]
        path = values[-1] if values and f"data={option}" in overrides else ""
        if is_plain_value(path):
            check(expand_home(path))


def _missing_root_error(got: str) -> UserError:
    return UserError(f"data.root: expected a folder; got {got or 'nothing'}. Type data.root=FOLDER.")


def check_image_folder(config: Mapping[str, Any]) -> None:
    """Check the folder of images, or the table with its columns, that a run's configuration names.

    Raises:
        UserError: where it is not there, it has no such column, or a package is missing that reads it.
    """
    node = config["data"]
    if is_option(node["_target_"], "data", *ROOT_OPTIONS) and not node["root"]:
        raise _missing_root_error("null")
    for option, (key, check) in CHECKS.items():
        if is_option(node["_target_"], "data", option) and node.get(key):
            check(expand_home(node[key]))
    if is_option(node["_target_"], "data", "hub"):
        require_package("datasets", wanted_by="data=hub")
    for option, package in PACKAGES.items():
        if is_option(node["_target_"], "data", option):
            require_package(package, wanted_by=f"data={option}")
    for option in ROW_OPTIONS:
        if is_option(node["_target_"], "data", option):
            check_rows_root(node["root"])
    if is_option(node["_target_"], "data", "folder") and node.get("groups"):
        compile_pattern(node["groups"])
    if is_option(node["_target_"], "data", "csv") and node.get("file"):
        table = read_table(expand_home(node["file"]), delimiter=node.get("delimiter"), header_only=True)
        find_columns(table, node)
        check_groups_key(node.get("groups"), table.columns)
        if node.get("root"):
            check_root(expand_home(node["root"]), hint=ROOT_HINT)


def find_missing_data(node: Mapping[str, Any]) -> str | None:
    """Return the folder or the table of a run's images where it is not there; None where it is, or has no path."""
    place: str | None = node.get("file") or node.get("root")
    return place if place and not is_address(place) and not expand_home(place).exists() else None


def move_data(node: Mapping[str, Any], to: Path, *, word: str = "--data ") -> dict[str, Any]:
    """Return the node of a run's data with another folder of images, or another table where `to` is a file.

    `word` is what is typed before it: the option, or `data=` in Python.

    Raises:
        UserError: where its data lies in no folder, or the other folder or table is not there.
    """
    key = word.rstrip(" =")
    if is_option(node["_target_"], "data", "folder"):
        check_root(to, key=key, hint=f"Type {word}FOLDER, the folder of its images")
    elif "file" in node and not to.exists():
        raise UserError(f"{key}: expected the table of its images, or their folder; {to} is not there.")
    if to.is_dir() and node.get("file") and (table := find_missing_data(node)):
        raise UserError(
            f"{key}: expected the table of its images, as {table} is not there; got a folder, {to}."
            f" Type {word}TABLE.csv."
        )
    if "file" in node and not to.is_dir():
        return {**node, "file": str(to)}
    if is_option(node["_target_"], "data", "hub"):
        return {**node, "name": str(to)}
    if "file" not in node:
        check_has_root(node, key=key)
    return {**node, "root": str(to)}


def check_has_root(node: Mapping[str, Any], *, key: str = "--data") -> None:
    """Check that a run's data lies in a folder alone, and not also in a table.

    Raises:
        UserError: where it does not.
    """
    if "root" not in node or "file" in node:
        raise UserError(f"{key}: expected a run whose data has a root and no table; got {node['_target_']}.")
