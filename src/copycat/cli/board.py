"""`copycat board`: open TensorBoard on runs."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import OUTPUTS, add_server, make_parser


def run(words: Sequence[str]) -> None:
    """Serve TensorBoard until Ctrl-C."""
    parser = make_parser("board")
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=OUTPUTS,
        metavar="FOLDER",
        help="a run, a sweep, or a folder of runs (default: outputs)",
    )
    add_server(parser)
    arguments = parser.parse_args(words)
    from copycat.tables.run_table import check_folder

    check_folder(arguments.folder)
    from copycat.inspection.tensorboard.board import serve

    serve(arguments.folder, port=arguments.port, browser=not arguments.no_browser)
