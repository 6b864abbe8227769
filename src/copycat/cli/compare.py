"""`copycat compare`: print runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import add_forms, make_parser


def run(words: Sequence[str]) -> None:
    """Print the differences between the configurations of runs, and their metrics."""
    parser = make_parser("compare")
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folders of two or more runs; a sweep stands for its trials",
    )
    parser.add_argument("--all", action="store_true", help="show the keys that are equal too")
    add_forms(parser)
    arguments = parser.parse_args(words)
    from copycat.sweeps.show import show_compared

    show_compared(arguments.folders, form=arguments.form, equal=arguments.all)
