"""Recognize the form of a data set by what lies at a path; imports no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.places import expand_home
from copycat.config.suggestions import quote_value
from copycat.data.sources.file_names import is_address

PATH_KEYS: Mapping[str, str] = {"csv": "file", "hub": "name", "hf": "name"}
"""Key of the path of an option of `data`, where it is not `root`."""
FORMS = ("shards", "webdataset", "lance", "folder")
"""Forms that a data set is converted to."""
PACKAGES: Mapping[str, str] = {"shards": "pyarrow", "lance": "lance"}
"""Optional package that reads and writes a form."""


def recognize_form(origin: str) -> str:
    """Return the option of `data` that reads a path: folder, csv, shards, webdataset, lance or hf.

    Raises:
        UserError: where there is nothing at the path.
    """
    if is_address(origin):
        return "webdataset" if origin.endswith(".tar") else "shards"
    path = expand_home(origin)
    if path.is_file():
        return {".parquet": "shards", ".tar": "webdataset"}.get(path.suffix.lower(), "csv")
    if not path.is_dir():
        raise UserError(f"data convert: expected a folder, a file or an address; {path} is not there.")
    if (path / "_versions").is_dir():
        return "lance"
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return "hf"
    for ending, form in ((".parquet", "shards"), (".tar", "webdataset")):
        if next(path.rglob(f"*{ending}"), None) is not None:
            return form
    return "folder"


def conversion_words(origin: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that read a path: those of the form that is there, or that `data=` in `overrides` states.

    Raises:
        UserError: where there is nothing at the path.
    """
    stated = [word.partition("=")[2] for word in overrides if word.startswith("data=")]
    form = stated[-1] if stated else recognize_form(origin)
    return [f"data={form}", f"data.{PATH_KEYS.get(form, 'root')}={quote_value(origin)}", *overrides]


def check_target(origin: str, to: Path, form: str) -> None:
    """Raise a UserError where a data set cannot be converted to a folder: before it is read."""
    source = None if is_address(origin) else expand_home(origin).resolve()
    if source is not None and source.is_dir() and to.resolve().is_relative_to(source):
        raise UserError(f"data convert: expected a folder outside of {origin} to write to; got {to}.")
    if not to.absolute().parent.is_dir():
        raise UserError(f"data convert: expected a folder to write to; {to.absolute().parent} is not there.")
    if form in PACKAGES:
        require_package(PACKAGES[form], wanted_by=f"--to {form}")
