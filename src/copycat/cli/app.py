"""`copycat app`: serve a web page that classifies images."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from copycat.cli.arguments import add_served_runs, add_server, make_parser
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress
from copycat.config.suggestions import pluralize

if TYPE_CHECKING:
    from copycat.deploy.app_runs import AppRuns


def run(words: Sequence[str]) -> None:
    """Serve the page until Ctrl-C."""
    parser = make_parser("app")
    add_served_runs(parser)
    add_server(parser)
    arguments = parser.parse_args(words)
    runs = open_served(arguments)
    from copycat.deploy.app import serve

    serve(runs, port=arguments.port, browser=not arguments.no_browser)


def open_served(arguments: argparse.Namespace) -> "AppRuns":
    """Open the runs that are to be served."""
    from copycat.config.extras import require_package
    from copycat.deploy.arguments import find_completed

    for package in ("starlette", "uvicorn", "python_multipart"):
        require_package(package, wanted_by="this command")
    completed = {folder: find_completed(folder) for folder in arguments.folders}
    print_progress(f"loading PyTorch and {pluralize(sum(map(len, completed.values())), 'run')}")
    with defer_garbage_collection():
        from copycat.deploy.app import open_runs

    max_pixels = arguments.max_megapixels * 10**6
    return open_runs(completed, max_pixels=max_pixels, calibrated=not arguments.uncalibrated)
