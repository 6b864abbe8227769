"""Arguments of the commands on completed runs, checked before anything heavy is imported."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.options import is_option, packaged_targets
from copycat.config.rule_builders import integer
from copycat.config.suggestions import quote_value
from copycat.data.sources.root import check_typed_root
from copycat.records.reader import find_runs
from copycat.records.run_folder import MANIFEST, WEIGHTS
from copycat.records.run_loader import Opened, check_has_weights, open_recorded, open_run

STANDARD_INPUT = Path("-")
DIVISION_KEYS = tuple(f"data.{key}" for key in ("split", "holdout", "fold", "folds", "split_seed"))
"""Keys of the division into parts."""
MAX_VIEWS = 1000
"""Maximum number of augmented views of an image."""


def check_views(views: Any) -> None:
    """Raise a UserError unless a number of views, as Python programs give it, is valid."""
    if not (rule := integer(1, MAX_VIEWS)).allows(views):
        raise UserError(f"views: expected {rule.words}; got {views!r}.")


def find_completed(folder: Path) -> list[Path]:
    """Return a run itself, or the runs with final weights in a sweep or a folder.

    Raises:
        UserError: where there is none.
    """
    runs = [run for run in find_runs(folder) if (run / WEIGHTS).exists()] if folder.is_dir() else []
    if not runs:
        raise UserError(f"{folder}: expected a completed run, or a folder of them; got none. See them: copycat runs.")
    return runs


def open_completed_in(folders: Sequence[Path]) -> list[Opened]:
    """Open the runs that `find_completed` finds in each folder.

    Raises:
        UserError: as `find_completed` and `open_run` do.
    """
    runs = [run for folder in folders for run in find_completed(folder)]
    return [open_run(run) for run in runs]


def open_completed(folder: Path) -> Opened:
    """Open a run that has final weights.

    Raises:
        UserError: where it is not one run, has no final weights, or is untrusted and refused.
    """
    opened = open_recorded(folder)
    check_has_weights(opened)
    return opened


@dataclass(frozen=True)
class EvaluationArguments:
    """Hold the arguments of `copycat evaluate`."""

    folders: Sequence[Path]
    """As typed: folders of runs or sweeps."""
    runs: Sequence[Opened]
    """The runs in them that have final weights."""
    overrides: Sequence[str]
    is_one_run: bool
    """Whether one run was named, rather than several or a folder of runs."""


def open_evaluation_arguments(words: Sequence[str]) -> EvaluationArguments:
    """Open the runs among the arguments of `copycat evaluate`.

    Raises:
        UserError: where no argument is a folder, one has no completed run, or another names something other than data.
    """
    folders = [Path(word) for word in words if "=" not in word or Path(word).is_dir()]
    overrides = [word for word in words if Path(word) not in folders]
    if not folders:
        raise UserError(f"evaluate: expected the folder of a run; got {words[0]!r} alone. See them: copycat runs.")
    is_one_run = len(folders) == 1 and (not folders[0].is_dir() or (folders[0] / MANIFEST).exists())
    runs = [open_completed(folders[0])] if is_one_run else open_completed_in(folders)
    for run in runs:
        check_typed_root(name_data(run, overrides))
    return EvaluationArguments(folders, runs, overrides, is_one_run=is_one_run)


def names_own_data(overrides: Sequence[str]) -> bool:
    """Return whether overrides name keys of a run's own data, and no other data."""
    return bool(overrides) and all(word.startswith("data.") for word in overrides)


def name_data(run: Opened, overrides: Sequence[str]) -> list[str]:
    """Put the option and the paths of a run's own data before overrides that name keys of it alone.

    Raises:
        UserError: where an override names something other than data, or their division, as all images are evaluated.
    """
    for word in overrides:
        key = word.partition("=")[0]
        if key.lstrip("+~") in DIVISION_KEYS:
            raise UserError(
                f"{word}: expected no division of the images, as all are evaluated; got {key}. Leave it out."
            )
        if re.fullmatch(r"data([.@].*)?", key.lstrip("+~")) is None:
            raise UserError(
                f"{word}: expected other data to evaluate on, as the run keeps its other keys; got {key}."
                " Leave it out, or type data.root=FOLDER."
            )
    if not names_own_data(overrides):
        return list(overrides)
    node = run.config["data"]
    options = [option for option in packaged_targets("data") if is_option(node["_target_"], "data", option)]
    paths = [f"data.{key}={quote_value(node[key])}" for key in ("root", "file", "name") if node.get(key)]
    return [*(f"data={option}" for option in options[:1]), *paths, *overrides]


def list_images(places: Sequence[Path]) -> list[Path]:
    """List image files: those given, `-`, and all in the folders given.

    Raises:
        UserError: where a place does not exist, or a folder cannot be read or has no image.
    """
    for place in places:
        if place != STANDARD_INPUT and not place.exists():
            raise UserError(f"{place}: expected an image, or a folder of images; got none.")
    return [file for place in places for file in (_find_images(place) if place.is_dir() else [place])]


def _find_images(folder: Path) -> list[Path]:
    from copycat.data.sources.folder_walk import find_images  # imports Pillow, which a wrong path need not wait for

    try:
        files = find_images(folder)
    except OSError as error:
        raise UserError(f"{folder}: expected a folder that can be read; {(error.strerror or '').lower()}.") from error
    if not files:
        raise UserError(f"{folder}: expected images; got a folder without any.")
    return files
