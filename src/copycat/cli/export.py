"""`copycat export`: write a run's network for use outside Copycat."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import add_uncalibrated, check_output_folder, make_parser
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.deploy.export_formats import FORMATS, check_format


def run(words: Sequence[str]) -> None:
    """Export a run's network with a model card and a script."""
    parser = make_parser("export")
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a completed run, or of a trial")
    parser.add_argument("--format", choices=[*FORMATS], required=True, help="file format")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="destination (default: export/FORMAT in the run's folder)"
    )
    parser.add_argument(
        "--tolerance",
        type=_difference,
        metavar="X",
        help="accepted difference in probability from the run (default: 1e-5, the largest; of int8 0.05, the mean)",
    )
    add_uncalibrated(parser)
    arguments = parser.parse_args(words)
    from copycat.deploy.arguments import open_completed
    from copycat.deploy.export_folder import check_export_folder

    check_format(arguments.format)
    opened = open_completed(arguments.run)
    if arguments.to is not None:
        check_output_folder("--to", arguments.to)
        check_export_folder(arguments.to, arguments.format)
    print_progress(f"loading the network of {arguments.run}")  # the imports take seconds
    with defer_garbage_collection():
        from copycat.deploy.export import print_export

    print_export(
        opened,
        arguments.format,
        to=arguments.to,
        notify=print_progress,
        calibrated=not arguments.uncalibrated,
        tolerance=arguments.tolerance,
    )


def _difference(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1; got {text!r}")
    return value
