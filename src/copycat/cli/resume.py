"""`copycat resume`: resume a run or a sweep where it stopped."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from copycat.cli import best, train
from copycat.cli.arguments import make_parser, whole_number
from copycat.cli.exit_status import DONE, FAILED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_outcome, print_progress
from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of, pluralize
from copycat.config.worlds import count_started
from copycat.data.sources.root import check_image_folder, find_missing_data

if TYPE_CHECKING:
    from copycat.sweeps.sweep_file import SweepFile

RUN_KEYS, SWEEP_KEYS = ("trainer.max_epochs", "trainer.max_time"), ("sweep.max_time",)
"""Keys that a resume may raise."""
ELSEWHERE = {
    "trainer.devices": "a flag of resume; got a key. Type --devices {}.",
    "hydra.sweeper.n_trials": "the sweep's original command, which takes more trials; got resume. Type copycat train -m"
    " … hydra.sweeper.n_trials={} sweep.folder=SWEEP.",
}
"""Keys that are raised otherwise, with what to type for a value."""
Value = int | float | str | None


def run(words: Sequence[str]) -> int:
    """Resume a run or a sweep, or train a run on to more epochs or for more time."""
    parser = make_parser("resume")
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, of a trial, or of a whole sweep")
    parser.add_argument(
        "more",
        nargs="*",
        type=_more,
        metavar="KEY=MORE",
        help="of a run trainer.max_epochs=MORE, which extends a completed run too, or trainer.max_time=MORE; of a sweep"
        " sweep.max_time=MORE; each in all, with what was before",
    )
    parser.add_argument(
        "--devices",
        type=whole_number(256, least=1),
        metavar="N",
        help="of a run: resume it on so many devices of this host; another number than before may change bits",
    )
    parser.add_argument(
        "--failed",
        action="store_true",
        help="of a grid: run its failed trials again; their files move to NUMBER-failed-1",
    )
    arguments = parser.parse_args(words)
    from copycat.sweeps.sweep_file import FILE

    if (arguments.run / FILE).exists():
        return _resume_sweep(arguments)
    return _resume_run(arguments)


def _resume_sweep(arguments: argparse.Namespace) -> int:
    from copycat.sweeps.sweep_file import read_own_sweep, started_directory

    inner = read_own_sweep(arguments.run)
    if inner.race is not None or inner.search is not None:  # it is resumed as part of its sweep
        arguments.run = arguments.run.resolve().parent

    more = _check_keys(arguments, SWEEP_KEYS, "sweep")
    if arguments.devices is not None:
        raise UserError(f"--devices: expected a run; got the sweep {arguments.run}. Its trials keep their devices.")
    sweep = read_own_sweep(arguments.run)
    if arguments.failed:
        _set_failed_aside(arguments.run, sweep)
    is_search = sweep.sweeper == "best"
    words = [word for word in sweep.words if word.partition("=")[0] not in more]
    from copycat.config.application import quote_path
    from copycat.records.run_folder import SEARCH_TABLE, is_search_table

    added = [f"{key}={'null' if value is None else value}" for key, value in more.items()]
    with started_directory(sweep, arguments.run) as folder:
        if is_search:  # its folder may have been moved, with the table in it
            table = f"data.file={quote_path(folder.absolute() / SEARCH_TABLE)}"
            words = [table if is_search_table(word) and not _is_there(word) else word for word in words]
        words += [*added, f"sweep.folder={quote_path(folder)}"]
        return best.search(words, folder) if is_search else train.run(["-m", *words])


def _set_failed_aside(folder: Path, sweep: "SweepFile") -> None:
    from copycat.sweeps.sweep_file import has_race

    if sweep.sweeper != "grid":
        raise UserError(
            f"--failed: expected a grid; got the search {folder}, whose study keeps its failed trials. Type its"
            " original command with a larger hydra.sweeper.n_trials."
        )
    if has_race(folder):
        raise UserError(
            f"--failed: expected a sweep without a race; got {folder}, whose race has chosen from its trials."
        )
    with defer_garbage_collection():
        from copycat.sweeps.sweeper import set_failed_aside
    failed = set_failed_aside(folder)
    print_progress(f"{pluralize(len(failed), 'failed trial')} of {folder} to run again")


def _is_there(word: str) -> bool:
    return Path(word.partition("=")[2].strip("'")).exists()


def _resume_run(arguments: argparse.Namespace) -> int:
    if arguments.failed:
        raise UserError(f"--failed: expected a sweep; got the run {arguments.run}.")
    from copycat.config.validation import check_value
    from copycat.records.run_loader import open_run

    more = _check_keys(arguments, RUN_KEYS, "run")
    for key, value in more.items():
        check_value(key, value, {})
    opened = open_run(arguments.run)
    if count_started() == 1:  # ranks check their data together, once they have met
        if place := find_missing_data(opened.config["data"]):
            raise UserError(f"{arguments.run}: expected its images in {place}; they are not there. Put them back.")
        check_image_folder(opened.config)  # a wrong folder is named before torch is imported
    with defer_garbage_collection():
        from copycat.training.resume import resume
        from copycat.training.summary import PrintedLosses

    outcome = resume(
        opened,
        notify=print_progress,
        extra_loggers=lambda config: [PrintedLosses(config["print_losses"])],
        more=more,
        devices=arguments.devices,
    )
    max_epochs = more.get("trainer.max_epochs", opened.config["trainer"].get("max_epochs"))
    root = Path(opened.config["output_dir"])
    if not outcome.folder.resolve().is_relative_to(root.resolve()):  # it was moved, or began in another directory
        root = outcome.folder.parent
    print_outcome(outcome, root=root, max_epochs=max_epochs)
    return FAILED if outcome.status == "failed" else DONE


def _check_keys(arguments: argparse.Namespace, keys: Sequence[str], of: str) -> dict[str, Value]:
    """Return the values by their keys; raise a UserError for a key of something else."""
    for key, _ in arguments.more:
        if key not in keys:
            expected = f"a key of a {of}, {one_of(f'{name}=MORE' for name in keys)}"
            raise UserError(f"{arguments.run}: expected {expected}; got {key}.{did_you_mean(key, keys)}")
    return dict(arguments.more)


def _more(text: str) -> tuple[str, Value]:
    """Parse a word; the value is checked by the rule of its key."""
    key, _, value = text.partition("=")
    if key in ELSEWHERE:
        raise UserError(f"{key}: expected {ELSEWHERE[key].format(value or 'N')}")
    if key not in (*RUN_KEYS, *SWEEP_KEYS) or not value:
        words = one_of(f"{name}=MORE" for name in (*RUN_KEYS, *SWEEP_KEYS))
        hint = did_you_mean(key, (*RUN_KEYS, *SWEEP_KEYS), after=f"={value or 'MORE'}")
        raise UserError(f"KEY=MORE: expected one of {words}; got {text!r}.{hint or ' Type copycat resume --help.'}")
    if value == "null":
        return key, None
    for kind in (int, float):
        with suppress(ValueError):
            return key, kind(value)
    return key, value
