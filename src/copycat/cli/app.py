"""`copycat app`: serve a web page that classifies images."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import add_server, make_parser, whole_number
from copycat.cli.exit_status import DONE
from copycat.cli.imports import defer_garbage_collection


def run(words: Sequence[str]) -> int:
    """Serve the page until Ctrl-C."""
    parser = make_parser("app")
    parser.add_argument("folder", type=Path, help="a completed run, a sweep, or a folder of runs")
    add_server(parser)
    parser.add_argument(
        "--max-megapixels",
        type=whole_number(10_000, least=1),
        default=50,
        metavar="N",
        help="refuse larger images (default: 50)",
    )
    arguments = parser.parse_args(words)
    from copycat.deploy.arguments import find_completed

    completed = find_completed(arguments.folder)
    with defer_garbage_collection():
        from copycat.deploy.app import serve

    max_pixels = arguments.max_megapixels * 10**6
    serve(arguments.folder, completed, port=arguments.port, browser=not arguments.no_browser, max_pixels=max_pixels)
    return DONE
