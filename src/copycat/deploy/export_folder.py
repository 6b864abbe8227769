"""Write the files of an export into one folder: all of them, or none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import all_suffixes
from pathlib import Path
from tempfile import TemporaryDirectory

from copycat.config.errors import UserError
from copycat.deploy.model_file import NETWORKS


@contextmanager
def atomic_folder(to: Path) -> Iterator[Path]:
    """Yield a folder whose files are moved to `to` at the end; on an error `to` stays unchanged."""
    _check_no_modules(to)
    parent = next(path for path in (to, *to.absolute().parents) if path.is_dir())  # on the same file system
    with TemporaryDirectory(prefix=".copycat-export-", dir=parent) as name:
        folder = Path(name)
        yield folder
        to.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(to / "__pycache__", ignore_errors=True)  # it may belong to an earlier export
        for file in folder.iterdir():
            if file.is_file():
                file.replace(to / file.name)


def _check_no_modules(to: Path) -> None:
    """Refuse a folder in which use.py would import a foreign module, such as a `json.py` in an untrusted run folder.

    Raises:
        UserError: where there is one.
    """
    for entry in to.iterdir() if to.is_dir() else ():
        is_module = entry.name.isidentifier() if entry.is_dir() else entry.suffix in all_suffixes()
        if is_module and entry.name not in ("use.py", "decode.py", f"{NETWORKS}.py", "__pycache__"):
            raise UserError(
                f"--to: expected a folder without modules, which use.py would import; got {to} with {entry.name!a:.80}."
                " Type --to FOLDER, a new one."
            )
