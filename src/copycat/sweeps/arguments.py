"""Check the arguments of `copycat report` before importing anything heavy."""

from collections.abc import Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.records import trial_file
from copycat.records.reader import find_runs
from copycat.sweeps import sweep_file


def check_reported(folders: Sequence[Path]) -> None:
    """Check that there is a run or a sweep in each folder.

    Raises:
        UserError: for the first folder that has neither.
    """
    for folder in folders:
        if any((folder / file).is_file() for file in (sweep_file.FILE, trial_file.FILE)):
            continue
        if next(find_runs(folder), None) is None:
            wrong = "not a directory" if folder.exists() and not folder.is_dir() else "no such file or directory"
            raise UserError(f"{folder}: expected the folder of a run; {wrong}. See them: copycat runs.")
