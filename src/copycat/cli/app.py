"""`copycat app`: serve a web page that classifies images."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import add_server, add_uncalibrated, make_parser, whole_number
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.suggestions import pluralize


def run(words: Sequence[str]) -> None:
    """Serve the page until Ctrl-C."""
    parser = make_parser("app")
    add = parser.add_argument
    add("folders", type=Path, nargs="+", metavar="FOLDER", help="completed runs, sweeps, or folders of runs")
    add_server(parser)
    add_uncalibrated(parser)
    megapixels = whole_number(10_000, least=1)
    add("--max-megapixels", type=megapixels, default=50, metavar="N", help="refuse larger images (default: 50)")
    arguments = parser.parse_args(words)
    from copycat.deploy.arguments import find_completed

    completed = {folder: find_completed(folder) for folder in arguments.folders}
    print_progress(f"loading PyTorch and {pluralize(sum(map(len, completed.values())), 'run')}")
    with defer_garbage_collection():
        from copycat.deploy.app import serve

    max_pixels = arguments.max_megapixels * 10**6
    calibrated = not arguments.uncalibrated
    serve(
        completed,
        port=arguments.port,
        browser=not arguments.no_browser,
        max_pixels=max_pixels,
        calibrated=calibrated,
    )
