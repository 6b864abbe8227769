"""`copycat runs`: print the table of runs, or of a sweep's trials."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import OUTPUTS, add_forms, make_parser
from copycat.cli.exit_status import DONE


def run(words: Sequence[str]) -> int:
    """Print the table of runs, sorted and filtered, or the command that reruns the best."""
    parser = make_parser("runs")
    parser.add_argument("folder", type=Path, nargs="?", default=OUTPUTS, help="runs, a sweep or all outputs")
    parser.add_argument("--sort", metavar="KEY", help="as val/loss, optimizer.lr, started, seconds, status")
    parser.add_argument("--descending", action="store_true", help="sort from the largest on")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="CONDITION",
        help="in quotes, with =, !=, <, <=, > or >=: 'val/accuracy>=0.7', 'model=deep'; several must all hold",
    )
    parser.add_argument("--by", metavar="METRIC", help="which --best goes by; else the sweep's objective, or val/loss")
    add_forms(parser, best="print only the command that reruns the best that completed")
    arguments = parser.parse_args(words)
    from copycat.sweeps.show import show_runs
    from copycat.tables.query import Query

    choice = Query(filters=arguments.filter, sort=arguments.sort, descending=arguments.descending)
    show_runs(arguments.folder, choice, form=arguments.form, by=arguments.by)
    return DONE
