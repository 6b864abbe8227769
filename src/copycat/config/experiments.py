"""Look up named experiments, as `copycat rerun experiments/NAME` takes them."""

from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.places import EXPERIMENTS, user_options_folder
from copycat.config.suggestions import did_you_mean, one_of

RESULT_SUFFIXES = (".json", ".measured.json")
"""Suffixes of files of expected results: the lecture's printed table is in the first, our measurement in the second."""


def parse_experiment_path(word: Path) -> str | None:
    """Return NAME of a path `experiments/NAME`, with or without suffix; None for any other path.

    Raises:
        UserError: where there is no experiment of that name.
    """
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
