"""`copycat best`: the best model of a folder of images, within a time."""

import argparse
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from copycat.cli import train
from copycat.cli.arguments import make_parser, split_names
from copycat.cli.exit_status import DONE, FAILED, INTERRUPTED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.errors import UserError
from copycat.config.places import expand_home
from copycat.config.portfolio import check_shared, choose_experiments
from copycat.config.printable import print_line

EXPERIMENT = "best"
SWEEPER = "hydra/sweeper=best"
MINUTES = 10.0
RESERVE_SECONDS = 8.0
"""Seconds of the time in which the result is read, calibrated and written."""
MIN_SECONDS = 10.0
"""Least time that is left to train."""


def run(words: Sequence[str]) -> int:
    """Search the best of a portfolio of experiments for a data set, and print the model and its accuracy."""
    began = time.monotonic()
    parser = make_parser("best")
    parser.add_argument("data", metavar="DIR", help="a folder of images with one sub-folder per class; or data=OPTION")
    parser.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="of all candidates, as data.groups=PATTERN trainer.threads=1"
    )
    parser.add_argument(
        "--minutes", type=_minutes, default=MINUTES, metavar="N", help=f"time of the search (default: {MINUTES:g})"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="a new folder for the search (default: in outputs)"
    )
    parser.add_argument(
        "--candidates",
        metavar="NAME,…",
        help="experiments of experiments/portfolio to try, packaged or your own (default: all)",
    )
    arguments = parser.parse_args(words)
    source = [arguments.data] if "=" in arguments.data and not Path(arguments.data).is_dir() else _folder(arguments)
    if wrong := next((word for word in arguments.overrides if "=" not in word), None):
        raise UserError(f"best: expected KEY=VALUE; got {wrong!r}.")
    candidates = choose_experiments(split_names(arguments.candidates), given_as="--candidates")
    check_shared(arguments.overrides, candidates)
    folder, classes = _prepare([*source, *arguments.overrides], arguments.folder)
    spent = time.monotonic() - began
    left = 60 * arguments.minutes - spent - RESERVE_SECONDS
    if left < MIN_SECONDS:
        _remove(folder, outputs=None if arguments.folder else folder.parents[2])
        enough = math.ceil((spent + RESERVE_SECONDS + MIN_SECONDS) / 60)
        raise UserError(
            f"--minutes: expected more, as reading the data took {spent:.0f} s; got {arguments.minutes:g}."
            f" Type --minutes={enough}."
        )
    named = [f"hydra.sweeper.candidates=[{','.join(candidates)}]"] if arguments.candidates else []
    words = _sweep_words([*named, *source, *arguments.overrides], folder, classes, seconds=left)
    return search(words, folder)


def _sweep_words(words: Sequence[str], folder: Path, classes: Sequence[str], *, seconds: float) -> list[str]:
    """Return the words of the sweep that is the search, on the table of images in its folder."""
    from copycat.config.application import quote_path
    from copycat.config.suggestions import quote_value
    from copycat.records.run_folder import SEARCH_TABLE
    from copycat.sweeps.best.preparation import TABLE_KEYS

    own = [word for word in words if not word.startswith(("data=", "data.")) or word.partition("=")[0] in TABLE_KEYS]
    given = {word.partition("=")[0] for word in own}
    usual = {
        "hydra/launcher": "processes",
        "data.classes": f"[{','.join(quote_value(name.strip()) for name in classes)}]",  # as a table's cells are read
        "data.on_unreadable": "skip",
        "data.cache": "true",
    }
    fixed = [SWEEPER, "data=csv", f"data.file={quote_path(folder.absolute() / SEARCH_TABLE)}"]
    fixed += [f"{key}={value}" for key, value in usual.items() if key not in given]
    fixed += ["sweep.objective=val/accuracy", f"sweep.max_time={seconds:.1f}s", f"sweep.folder={quote_path(folder)}"]
    return [*fixed, *own]


def search(words: Sequence[str], folder: Path) -> int:
    """Run or resume a search, and print what it found so far, also after Ctrl-C; return the exit status."""
    status = DONE
    try:
        train.run_sweep(words)
    except KeyboardInterrupt:
        status = INTERRUPTED
    from copycat.records.run_folder import SEARCH_FOLDER, SWEEP

    if not (folder / SEARCH_FOLDER / SWEEP).exists():
        return status or FAILED
    with defer_garbage_collection():
        from copycat.deploy.best import conclude
    result = conclude(folder)
    if result is None:
        print_line(
            f"copycat: no candidate has been trained yet. To resume: copycat resume {quote(str(folder))}", error=True
        )
    return status or (FAILED if result is None or result.failed else DONE)


def _folder(arguments: argparse.Namespace) -> list[str]:
    from copycat.config.suggestions import quote_value
    from copycat.data.sources.root import check_root

    check_root(expand_home(arguments.data), key="DIR", hint="Type a folder with one sub-folder of images per class")
    return ["data=folder", f"data.root={quote_value(arguments.data)}"]


def _prepare(words: Sequence[str], named: Path | None) -> tuple[Path, Sequence[str]]:
    """Make the folder of a search with the table of its images; return it and the names of the classes."""
    from copycat.config.compose import quote_overrides
    from copycat.config.sweep_composition import compose_sweep

    lines = quote_overrides(words)
    request = compose_sweep([SWEEPER, *lines])  # names a mistake before images are read
    print_progress("reading the images")
    with defer_garbage_collection():
        from copycat.records.run_folder import SWEEP, make_folder
        from copycat.sweeps.best.preparation import Preparation, prepare
    if named is None:
        made: list[Preparation] = []
        outputs = expand_home(request.first.config["output_dir"])
        folder = make_folder(outputs, EXPERIMENT, write=lambda to: made.append(prepare(lines, to)))
        print_progress(made[0].describe())
        return folder, made[0].classes
    if named.exists() and any(named.iterdir()):
        is_search = (named / SWEEP).exists()
        hint = f"To resume: copycat resume {quote(str(named))}" if is_search else "Type the name of another"
        raise UserError(f"--folder: expected a new folder; got {named}, with files. {hint}.")
    try:
        named.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--folder: expected a folder to make; got {named}: {error.strerror}.") from error
    try:
        prepared = prepare(lines, named)
    except BaseException:
        _remove(named)
        raise
    print_progress(prepared.describe())
    return named, prepared.classes


def _remove(folder: Path, *, outputs: Path | None = None) -> None:
    """Remove the folder of a search that did not begin, and those above it, below `outputs`, that it leaves empty."""
    from copycat.records.run_folder import remove_empty_folders

    shutil.rmtree(folder)
    if outputs is not None:
        remove_empty_folders(folder.parent, outputs)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0; got {text!r}")
    return value
