"""Where the packaged configuration lies: inside the installed package, or beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _packaged(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name


CONF = _packaged("conf")
EXPERIMENTS = _packaged("experiments")
MAIN = "copycat"
"""The file in conf/ that every run starts from."""
