"""The folder of one's own images: looked at before torch is imported."""

from pathlib import Path

from copycat.config.errors import UserError

HOW = "Type data.root=FOLDER, a folder with one sub-folder of images a class"


def check_root(root: Path) -> None:
    """Check that the folder is there.

    Raises:
        UserError: where it is not.
    """
    if not root.is_dir():
        raise UserError(f"data.root: expected a folder; {root} is {'a file' if root.exists() else 'not there'}. {HOW}.")
