"""Where the packaged configuration lies, inside the installed package or beside it in a checkout; and the user's."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _packaged(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name


CONF = _packaged("conf")
EXPERIMENTS = _packaged("experiments")
MAIN = "copycat"
"""The file in conf/ that every run starts from."""


def cache_folder() -> Path:
    """Where copycat keeps what it can work out again: COPYCAT_CACHE, else the operating system's cache folder for
    copycat; may not exist yet.
    """
    import platformdirs  # its import takes longer than a wrong word

    if named := os.environ.get("COPYCAT_CACHE"):
        return Path(named)
    return platformdirs.user_cache_path("copycat")


def settings() -> Path:
    """The user's own folder on this machine: COPYCAT_SETTINGS, else `copycat` where such settings lie."""
    if named := os.environ.get("COPYCAT_SETTINGS"):
        return Path(named).expanduser()
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (base if base.is_absolute() else Path(os.path.expanduser("~"), ".config")) / "copycat"


RECORDS = ("run.json", "trial.json", "sweep.json")
"""Files of run folders and sweeps."""


def own_options(packaged: Path) -> Path | None:
    """Find the user's ./conf or ./experiments, whose options stand before the packaged ones.

    Returns:
        None where there is none, and inside a run folder or sweep: it may be a stranger's.
    """
    here = Path.cwd()
    own = here / packaged.name
    if any((here / name).exists() for name in RECORDS) or not own.is_dir() or own.resolve() == packaged.resolve():
        return None
    return own
