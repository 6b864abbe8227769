"""`copycat evaluate`: evaluate runs on data, with confidence intervals."""

from collections.abc import Sequence

from copycat.cli.arguments import add_forms, add_uncalibrated, add_views, make_parser
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.suggestions import pluralize


def run(words: Sequence[str]) -> None:
    """Evaluate runs, alone or as one ensemble, and print their metrics."""
    parser = make_parser("evaluate")
    parser.add_argument(
        "words",
        nargs="+",
        metavar="RUN|OVERRIDE",
        help="completed runs or sweeps, then other data to evaluate on, as data=folder data.root=FOLDER",
    )
    add_views(parser)
    add_uncalibrated(parser)
    add_forms(parser)
    arguments = parser.parse_args(words)
    from copycat.deploy.arguments import open_evaluation_arguments

    evaluated = open_evaluation_arguments(arguments.words)
    print_progress(f"loading PyTorch and {pluralize(len(evaluated.runs), 'run')}")
    with defer_garbage_collection():
        from copycat.deploy.evaluate import print_evaluation

    print_evaluation(evaluated, form=arguments.form, views=arguments.views, calibrated=not arguments.uncalibrated)
