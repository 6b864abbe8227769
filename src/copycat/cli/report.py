"""`copycat report`: write runs or a sweep as one HTML page."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import (
    add_paper_table,
    check_output_file,
    check_output_folder,
    make_parser,
    read_paper_request,
)
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
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
        help="destination (default: report.html, .tex or .md in the folder, of several folders in ./)",
    )
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="write only the plots, as PNG files")
    group = parser.add_mutually_exclusive_group()
    for form, name in (("latex", "LaTeX"), ("markdown", "Markdown")):
        group.add_argument(
            f"--{form}",
            dest="form",
            action="store_const",
            const=form,
            default="page",
            help=f"write a table for a paper in {name} instead: means over seeds and folds, intervals, tests",
        )
    add_paper_table(parser)
    arguments = parser.parse_args(words)
    paper = read_paper_request(parser, arguments)
    if arguments.to is not None:
        kinds = {"page": "page", "latex": "LaTeX table", "markdown": "Markdown table"}
        check_output_file("--to", arguments.to, kinds[arguments.form])
    if arguments.png is not None:
        check_output_folder("--png", arguments.png)
    from copycat.sweeps.sweep_file import check_reported

    check_reported(arguments.folders)
    if paper is not None:
        if arguments.png:
            parser.error(f"--png: expected a page; got --{arguments.form} beside it")
        from copycat.sweeps.show import write_paper_table

        print_line(write_paper_table(arguments.folders, paper, form=arguments.form, to=arguments.to))
        return
    with defer_garbage_collection():
        from copycat.inspection.reports.page import write_images, write_page
        from copycat.sweeps.report import make_report

        page = make_report(arguments.folders)
    if arguments.to or not arguments.png:
        first = arguments.folders[0]
        to = arguments.to or (first if first.is_dir() and len(arguments.folders) == 1 else Path()) / "report.html"
        write_page(page, to)
        print_line(to)
    if arguments.png:
        paths = [*write_images(page, arguments.png)]
        for path in paths:
            print_line(path)
        if not paths:
            print_progress("no plots: no epoch was recorded")
