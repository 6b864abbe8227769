"""`copycat rerun`: run it again from its folder, and compare bit for bit."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from copycat.cli.arguments import make_parser, whole_number
from copycat.cli.exit_status import DONE, FAILED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.data.sources.root import check_image_folder, find_missing_data, move_data

if TYPE_CHECKING:  # it takes a second
    from copycat.records.run_loader import Opened


def run(words: Sequence[str]) -> int:
    """Rerun a run or a recorded experiment, and report whether it is the same."""
    parser = make_parser("rerun")
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run, a package, or experiments/NAME")
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
    parser.add_argument("--data", type=Path, metavar="PATH", help="folder of the images, or their table, if it moved")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="of a package: unpack it into this new folder")
    parser.add_argument("--trial", type=whole_number(10**9), metavar="N", help="of a packed sweep: this trial alone")
    arguments = parser.parse_args(words)
    from copycat.config.places import parse_experiment_path

    is_missing_package = arguments.folder.suffix == ".zip" and not arguments.folder.exists()
    if is_missing_package or (arguments.folder.is_file() and arguments.folder.suffix not in (".yaml", ".json")):
        return DONE if _rerun_package(arguments) else FAILED
    if arguments.to is not None or arguments.trial is not None:
        raise UserError(f"--to, --trial: expected a package, as FILE.zip; got {arguments.folder}.")
    name = parse_experiment_path(arguments.folder)
    same = _rerun_experiment(name, arguments) if name else _rerun_run(arguments)
    return DONE if same else FAILED


def _rerun_experiment(name: str, arguments: argparse.Namespace) -> bool:
    if arguments.check:
        raise UserError(f"--check: expected the folder of a run, which has fingerprints; got {arguments.folder}.")
    with defer_garbage_collection():
        from copycat.reruns.expected_results import print_results, rerun_experiment

    results = rerun_experiment(name, notify=print_progress, data=arguments.data)
    return print_results(results, tolerance=arguments.tolerance)


def _rerun_package(arguments: argparse.Namespace) -> bool:
    """Rerun the runs of a package, or one of them; return whether all are the same."""
    from copycat.archives.unpacking import unpacked

    package, results = arguments.folder, []
    with unpacked(package, arguments.to) as found:
        runs = found.runs
        if arguments.trial is not None:
            runs = [run for run in runs if found.contents.kind == "sweep" and run.name == str(arguments.trial)]
        if not runs:
            raise UserError(f"{package}: expected a run in it; it has none{' of that number' if found.runs else ''}.")
        for run in runs:
            if found.contents.kind == "sweep":
                print_line(f"trial {run.name}:")
            data = arguments.data or found.data_of(run)
            one = argparse.Namespace(**{**vars(arguments), "folder": run, "data": data})
            results.append(_rerun_run(one, named=package))
    return all(results)


def _check_has_data(original: "Opened", *, shown: Path) -> None:
    """Explain how to name the images of a run or a package where they have moved."""
    node = original.config["data"]
    if place := find_missing_data(node):
        images = pluralize(sum(original.manifest["data"]["images"].values()), "image")
        what, word = ("table", "TABLE.csv") if node.get("file") else ("folder", "FOLDER")
        raise UserError(
            f"{shown}: expected its {images} in {place}; it is not there. Get them, and name their {what}:"
            f" copycat rerun {quote(str(shown))} --data {word}. They are compared with the recorded digests."
        )


def _rerun_run(arguments: argparse.Namespace, *, named: Path | None = None) -> bool:
    """Rerun a run; `named` is the package that it came in."""
    from copycat.records.run_loader import open_recorded

    original = open_recorded(arguments.folder)
    if named is not None:
        original = replace(original, user_path=named)
    data = dict(original.config["data"])
    if arguments.data is None:
        _check_has_data(original, shown=named or arguments.folder)
    else:
        data = move_data(data, arguments.data)
    check_image_folder({"data": data})  # a wrong folder is named before torch is imported
    with defer_garbage_collection():
        from copycat.reruns.report import print_check, print_rerun
        from copycat.reruns.rerun import current_differences, rerun

    if arguments.check:
        return print_check(current_differences(original, data=arguments.data))
    compared = rerun(original, notify=print_progress, data=arguments.data)
    return print_rerun(compared, tolerance=arguments.tolerance)


def _tolerance(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"expected a number from 0, as 1e-6; got {text!r}")
