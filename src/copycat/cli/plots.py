"""`copycat plots`: write the plots of a sweep as PNG files."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import check_output_folder, make_parser
from copycat.config.printable import print_line


def run(words: Sequence[str]) -> None:
    """Write the plots of a sweep and print their paths."""
    parser = make_parser("plots")
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="the folder of a sweep")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="destination (default: plots/ in the sweep's folder)")
    arguments = parser.parse_args(words)
    from copycat.sweeps.sweep_file import check_sweep

    check_sweep(arguments.sweep)
    if arguments.to is not None:
        check_output_folder("--to", arguments.to)
    from copycat.sweeps.plots.files import write_plots

    for path in write_plots(arguments.sweep, arguments.to or arguments.sweep / "plots"):
        print_line(path)
