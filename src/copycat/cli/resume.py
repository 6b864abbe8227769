"""`copycat resume`: resume a run or a sweep where it stopped."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from copycat.cli import train
from copycat.cli.arguments import make_parser
from copycat.cli.exit_status import DONE, FAILED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_outcome, print_progress
from copycat.config.errors import UserError
from copycat.data.sources.root import check_image_folder


def run(words: Sequence[str]) -> int:
    """Resume a run or a sweep, or train a run on to more epochs."""
    parser = make_parser("resume")
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, of a trial, or of a whole sweep")
    parser.add_argument(
        "max_epochs",
        nargs="?",
        type=_max_epochs,
        metavar="trainer.max_epochs=MORE",
        help="total number of epochs to train to; extends a completed run too",
    )
    arguments = parser.parse_args(words)
    from copycat.sweeps.sweep_file import FILE

    if (arguments.run / FILE).exists():
        return _resume_sweep(arguments)
    return _resume_run(arguments)


def _resume_sweep(arguments: argparse.Namespace) -> int:
    from copycat.sweeps.sweep_file import read_own_sweep

    if arguments.max_epochs is not None:
        raise UserError(f"trainer.max_epochs: expected the folder of a run; got a sweep, {arguments.run}.")
    from copycat.config.application import quote_path

    return train.run(["-m", *read_own_sweep(arguments.run).words, f"sweep.folder={quote_path(arguments.run)}"])


def _resume_run(arguments: argparse.Namespace) -> int:
    from copycat.records.run_loader import open_run

    opened = open_run(arguments.run)
    check_image_folder(opened.config)  # a wrong folder is named before torch is imported
    with defer_garbage_collection():
        from copycat.training.resume import resume
        from copycat.training.summary import PrintedLosses

    outcome = resume(
        opened,
        say=print_progress,
        extra_loggers=lambda config: [PrintedLosses(config["print_losses"])],
        max_epochs=arguments.max_epochs,
    )
    print_outcome(outcome)
    return FAILED if outcome.status == "failed" else DONE


def _max_epochs(text: str) -> int:
    key, _, number = text.partition("=")
    if key != "trainer.max_epochs" or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"expected trainer.max_epochs=MORE; got {text!r}")
    return int(number)
