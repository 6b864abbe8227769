"""`copycat rerun`: run it again from its folder, and compare bit for bit."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from copycat.cli.arguments import make_parser
from copycat.cli.exit_status import DONE, FAILED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.errors import UserError
from copycat.data.sources.root import check_has_root, check_image_folder


def run(words: Sequence[str]) -> int:
    """Rerun a run or a recorded experiment, and report whether it is the same."""
    parser = make_parser("rerun")
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a run, or experiments/NAME")
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare the fingerprints of data, code, packages and machine; train nothing",
    )
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="X",
        help="count values as equal that differ by X or less, absolute or relative to the first run's",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder of the images, where it has moved")
    arguments = parser.parse_args(words)
    from copycat.config.places import parse_experiment_path

    name = parse_experiment_path(arguments.folder)
    same = _rerun_experiment(name, arguments) if name else _rerun_run(arguments)
    return DONE if same else FAILED


def _rerun_experiment(name: str, arguments: argparse.Namespace) -> bool:
    if arguments.check:
        raise UserError(f"--check: expected the folder of a run, which has fingerprints; got {arguments.folder}.")
    with defer_garbage_collection():
        from copycat.reruns.expected_results import print_results, rerun_experiment

    results = rerun_experiment(name, say=print_progress, data=arguments.data)
    return print_results(results, tolerance=arguments.tolerance)


def _rerun_run(arguments: argparse.Namespace) -> bool:
    from copycat.records.run_loader import open_recorded

    original = open_recorded(arguments.folder)
    data = dict(original.config["data"])
    if arguments.data is not None:
        check_has_root(data)
        data["root"] = str(arguments.data)
    check_image_folder({"data": data})  # a wrong folder is named before torch is imported
    with defer_garbage_collection():
        from copycat.reruns.report import print_check, print_rerun
        from copycat.reruns.rerun import current_differences, rerun

    if arguments.check:
        return print_check(current_differences(original, data=arguments.data))
    compared = rerun(original, say=print_progress, data=arguments.data)
    return print_rerun(compared, tolerance=arguments.tolerance)


def _tolerance(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"expected a number from 0, as 1e-6; got {text!r}")
