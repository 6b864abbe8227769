"""`copycat calibrate`: make a run's probabilities agree with its accuracy, and decide by them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from copycat.cli.arguments import make_parser
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.suggestions import pluralize

if TYPE_CHECKING:
    from copycat.deploy.calibration_plan import How


def run(words: Sequence[str]) -> None:
    """Fit a calibration of one run, or of each configuration of a sweep, and write it beside the weights."""
    arguments = _make_parser().parse_args(words)
    from copycat.deploy.calibration_plan import make_plans
    from copycat.deploy.calibration_request import FLAGS, check_enough, make_request

    how = next((way for way, is_set in _ways(arguments).items() if is_set), None)
    sweep = arguments.out_of_fold if arguments.out_of_fold not in (None, Path()) else None
    plans = make_plans(arguments.folder, how=how, sweep=sweep)
    given = {name: getattr(arguments, name) for name in FLAGS}
    request = make_request(plans[0].classes, **given, multi_label=plans[0].is_multi_label)
    for plan in plans:
        check_enough(request.coverage, FLAGS["coverage"], plan.images, "to calibrate on")
    print_progress(f"loading PyTorch and the predictions of {pluralize(len(plans[0].sources), 'run')}")
    with defer_garbage_collection():
        from copycat.deploy.calibration_table import print_calibrations

    print_calibrations(plans, request, form=arguments.form)


def _ways(arguments: argparse.Namespace) -> dict["How", bool]:
    is_out_of_fold = arguments.out_of_fold is not None
    return {"out of fold": is_out_of_fold, "validation": arguments.validation, "half": arguments.half}


def _make_parser() -> argparse.ArgumentParser:
    parser = make_parser("calibrate")
    add = parser.add_argument
    add(
        "folder",
        type=Path,
        metavar="RUN|SWEEP",
        help="a completed run, or a sweep for all its runs",
    )
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--out-of-fold",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="SWEEP",
        help="fit on what each fold predicts of the images that it did not train on (default of a sweep of folds);"
        " with SWEEP, on its folds, for a run of the same configuration",
    )
    images.add_argument("--validation", action="store_true", help="fit on the run's own validation images (default)")
    images.add_argument("--half", action="store_true", help="fit on half of them, and leave the others to evaluate")
    add("--cost-fp", type=_number, metavar="COST", help="cost of a false positive (default: 1)")
    add("--cost-fn", type=_number, metavar="COST", help="cost of a false negative (default: 1)")
    add(
        "--costs",
        metavar="MATRIX",
        help="costs of predicted classes (columns) by true class (rows), as '[[0,1],[5,0]]', or a JSON file of them",
    )
    add("--recall", type=_number, metavar="SHARE", help="recognize this share of the class's images")
    add(
        "--class",
        dest="positive",
        metavar="NAME",
        help="the class of --recall, --cost-fp and --cost-fn (default of two classes: the second)",
    )
    add(
        "--coverage",
        type=_number,
        metavar="SHARE",
        help="predict sets that have the true class with this probability",
    )
    add(
        "--sets",
        choices=["lac", "aps"],
        help="kind of --coverage's sets; lac: the smallest on average; aps: larger for harder images (default: lac)",
    )
    add("--json", dest="form", action="store_const", const="json", default="table", help="print JSON")
    return parser


def _number(text: str) -> float | str:
    """Return a number, or the text where it is none, which `make_request` refuses."""
    try:
        return float(text)
    except ValueError:
        return text
