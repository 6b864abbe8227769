"""Check the folder of a user's own images before torch is imported."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.options import is_option

HINT = "Type data.root=FOLDER, a folder with one sub-folder of images a class"

GRAMMAR = frozenset("\"'\\$[]{}(),")  # characters by which a value in Hydra's grammar is not the text itself


def check_root(root: Path) -> None:
    """Check that the folder is there.

    Raises:
        UserError: where it is not.
    """
    if not root.is_dir():
        raise UserError(
            f"data.root: expected a folder; {root} is {'a file' if root.exists() else 'not there'}. {HINT}."
        )


def check_typed_root(overrides: Sequence[str]) -> None:
    """Check the folder of images that overrides name, before they are composed, which takes longer.

    Raises:
        UserError: where it is not there.
    """
    roots = [word.removeprefix("data.root=") for word in overrides if word.startswith("data.root=")]
    root = roots[-1] if roots and "data=folder" in overrides else ""
    if re.match("[A-Za-z./~]", root) and root not in ("null", "true", "false") and not GRAMMAR & set(root):
        check_root(Path(root).expanduser())


def check_image_folder(config: Mapping[str, Any]) -> None:
    """Check that the folder of images that a run's configuration names is there.

    Raises:
        UserError: where it is not.
    """
    node = config["data"]
    if is_option(node["_target_"], "data", "folder") and node.get("root"):
        check_root(Path(node["root"]).expanduser())


def check_has_root(node: Mapping[str, Any]) -> None:
    """Check that a run's data lies in a folder, so that --data can name another one.

    Raises:
        UserError: where it does not.
    """
    if "root" not in node:
        raise UserError(f"--data: expected a run whose data has a root; got {node['_target_']}.")
