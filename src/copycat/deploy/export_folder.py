"""Check the folder that an export is written to. Imports nothing heavy."""

import json
from importlib.machinery import all_suffixes
from pathlib import Path

from copycat.config.errors import UserError
from copycat.deploy.export_formats import FORMATS, Format
from copycat.deploy.use_scripts import DESCRIPTION

SCRIPT_FILES = ("use.py", "decode.py", "decision.py", "networks.py")


def check_export_folder(to: Path, form: Format) -> None:
    """Refuse a folder in which an export would replace files of others, or use.py import them.

    Such a module may be a `json.py` in an untrusted run folder.
    """
    names = [entry.name for entry in to.iterdir()] if to.is_dir() else []
    written = {*SCRIPT_FILES, DESCRIPTION, "README.md", FORMATS[form].file}
    if not _is_export(to) and (others := written.intersection(names)):
        raise UserError(
            f"--to: expected a folder without other files of these names; got {to} with {min(others)}, which no export"
            " wrote. Type --to FOLDER, a new one."
        )
    for name in names:
        is_module = name.isidentifier() if (to / name).is_dir() else Path(name).suffix in all_suffixes()
        if is_module and name not in (*SCRIPT_FILES, "__pycache__"):
            raise UserError(
                f"--to: expected a folder without modules, which use.py would import; got {to} with {name!a:.80}."
                " Type --to FOLDER, a new one."
            )


def _is_export(folder: Path) -> bool:
    """Return whether a folder holds an earlier export, by its description."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and {"classes", "decode"} <= description.keys()
