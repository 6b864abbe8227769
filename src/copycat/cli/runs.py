"""`copycat runs`: print the table of runs, or of a sweep's trials."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import OUTPUTS, add_forms, add_paper_table, make_parser, read_paper_request
from copycat.cli.imports import defer_garbage_collection


def run(words: Sequence[str]) -> None:
    """Print the table of runs, sorted and filtered, or the command that reruns the best."""
    parser = make_parser("runs")
    add = parser.add_argument
    add(
        "folder",
        type=Path,
        nargs="?",
        default=OUTPUTS,
        metavar="FOLDER",
        help="a folder of runs, or a sweep (default: outputs)",
    )
    add("--sort", metavar="KEY", help="sort by a column, as val/loss, optimizer.lr, started, seconds, status")
    add("--descending", action="store_true", help="sort from the largest to the smallest")
    add(
        "--filter",
        action="append",
        default=[],
        metavar="CONDITION",
        help="show rows that meet a condition in quotes, as 'val/accuracy>=0.7' or 'model=deep'; may be repeated",
    )
    add("--by", metavar="METRIC", help="metric that --best selects by (default: the sweep's objective, else val/loss)")
    add_forms(
        parser,
        best="print only the command that reruns the best that completed",
        latex="print a table for a paper in LaTeX: means over seeds and folds, with intervals and tests",
        markdown="print the same table in Markdown",
    )
    add_paper_table(parser)
    arguments = parser.parse_args(words)
    paper = read_paper_request(parser, arguments)
    with defer_garbage_collection():
        from copycat.sweeps.show import show_runs
        from copycat.tables.index import paused_collection
        from copycat.tables.query import Query

        choice = Query(filters=arguments.filter, sort=arguments.sort, descending=arguments.descending)
        with paused_collection():
            show_runs(arguments.folder, choice, form=arguments.form, by=arguments.by, paper=paper)
