"""`copycat predict`: classify images by a run's final weights."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import add_forms, add_uncalibrated, add_views, check_output_file, make_parser
from copycat.cli.exit_status import DONE, FAILED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress


def run(words: Sequence[str]) -> int:
    """Classify images and print their classes and probabilities."""
    parser = make_parser("predict")
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a completed run, or of a trial")
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="image files or folders of images; - reads an image from standard input",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="write the images with their predictions, as one PNG"
    )
    add_views(parser)
    add_uncalibrated(parser)
    add_forms(parser)
    arguments = parser.parse_args(words)
    from copycat.deploy.arguments import list_images, open_completed

    opened = open_completed(arguments.run)
    files = list_images(arguments.images)
    if arguments.sheet is not None:
        check_output_file("--sheet", arguments.sheet, "contact sheet", inputs=files)
    print_progress(f"loading the network of {arguments.run}")  # the imports take seconds
    with defer_garbage_collection():
        from copycat.deploy.predict import print_predictions

    calibrated = not arguments.uncalibrated
    good = print_predictions(
        opened, files, form=arguments.form, sheet=arguments.sheet, views=arguments.views, calibrated=calibrated
    )
    return DONE if good else FAILED
