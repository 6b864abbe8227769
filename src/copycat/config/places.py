"""Locate the packaged configuration (in the installed package or the checkout) and the user's own folders."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _packaged(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name


CONF = _packaged("conf")
EXPERIMENTS = _packaged("experiments")
MAIN = "copycat"
"""The primary configuration: the file in conf/ that every run starts from."""


def cache_folder() -> Path:
    """Return the folder for data that can be recomputed, which may not exist yet.

    It is COPYCAT_CACHE, else the operating system's cache folder for copycat.
    """
    import platformdirs  # its import takes longer than reporting a mistyped word

    if named := os.environ.get("COPYCAT_CACHE"):
        return Path(named)
    return platformdirs.user_cache_path("copycat")


def settings_folder() -> Path:
    """Return the folder of the user's settings: COPYCAT_SETTINGS, else `copycat` in the XDG configuration folder."""
    if named := os.environ.get("COPYCAT_SETTINGS"):
        return Path(named).expanduser()
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (base if base.is_absolute() else Path(os.path.expanduser("~"), ".config")) / "copycat"


RUN_FILES = ("run.json", "trial.json", "sweep.json")
"""Files that mark a folder as that of a run or a sweep."""


def user_options_folder(packaged: Path) -> Path | None:
    """Find the user's ./conf or ./experiments, whose options take precedence over the packaged ones.

    Returns:
        None where there is none, and inside a run folder or sweep, which another person may have written.
    """
    folder = Path.cwd()
    own = folder / packaged.name
    if any((folder / name).exists() for name in RUN_FILES) or not own.is_dir() or own.resolve() == packaged.resolve():
        return None
    return own
