"""`copycat report`: write runs or a sweep as one HTML page."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import make_parser
from copycat.config.printable import print_line


def run(words: Sequence[str]) -> None:
    """Write the page or its plots, and print their paths."""
    parser = make_parser("report")
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="a run, a sweep, a folder of runs, or several runs"
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="destination (default: report.html in the folder, of several folders in ./)",
    )
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="write only the plots, as PNG files")
    arguments = parser.parse_args(words)
    from copycat.sweeps.sweep_file import check_reported

    check_reported(arguments.folders)
    from copycat.inspection.reports.page import write_images, write_page
    from copycat.sweeps.report import make_report

    page = make_report(arguments.folders)
    if arguments.to or not arguments.png:
        first = arguments.folders[0]
        to = arguments.to or (first if first.is_dir() and len(arguments.folders) == 1 else Path()) / "report.html"
        write_page(page, to)
        print_line(to)
    for path in write_images(page, arguments.png) if arguments.png else ():
        print_line(path)
