"""Locate the packaged configuration (in the installed package or the checkout), the user's own, and experiments."""

import os
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of

_PACKAGE = Path(__file__).resolve().parent.parent


def _packaged(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name


CONF = _packaged("conf")
EXPERIMENTS = _packaged("experiments")
MAIN = "copycat"
"""The primary configuration: the file in conf/ that every run starts from."""
RUN_FILES = ("run.json", "trial.json", "sweep.json")
"""Files that mark a folder as that of a run or a sweep."""
RESULT_SUFFIXES = (".json", ".measured.json")
"""Suffixes of files of expected results: the lecture's printed table is in the first, our measurement in the second."""


def cache_folder() -> Path:
    """Return the folder for recomputable data, which may not exist yet: COPYCAT_CACHE, else the system's for caches."""
    if named := os.environ.get("COPYCAT_CACHE"):
        return expand_home(named)
    import platformdirs  # its import takes longer than reporting a mistyped word

    return platformdirs.user_cache_path("copycat")


def expand_home(path: str | Path) -> Path:
    """Expand `~` and `~USER` at the start of a path, which stays as it is where there is no such user."""
    return Path(os.path.expanduser(path))


def settings_folder() -> Path:
    """Return the folder of the user's settings: COPYCAT_SETTINGS, else `copycat` in the XDG configuration folder."""
    if named := os.environ.get("COPYCAT_SETTINGS"):
        return expand_home(named)
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (base if base.is_absolute() else Path(os.path.expanduser("~"), ".config")) / "copycat"


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


def parse_experiment_path(word: Path) -> str | None:
    """Return NAME of a path `experiments/NAME[.yaml]`, None for another path; raise a UserError for an unknown NAME."""
    if word.parent.name != EXPERIMENTS.name or (word / "run.json").exists():
        return None
    name = word.name
    for ending in (".yaml", *reversed(RESULT_SUFFIXES)):
        name = name.removesuffix(ending)
    known = {file.stem for folder in experiment_folders() for file in folder.glob("*.yaml")}
    if name in known:
        return name
    if word.is_dir():  # a folder of runs with the same parent name
        return None
    hint = did_you_mean(name, known, before=f"copycat rerun {EXPERIMENTS.name}/")
    raise UserError(f"{word}: expected one of {one_of(known)}; got {name!r}.{hint}")


def experiment_folders() -> list[Path]:
    """List the folders that hold experiments, the user's own first."""
    own = user_options_folder(EXPERIMENTS)
    return [EXPERIMENTS] if own is None else [own, EXPERIMENTS]
