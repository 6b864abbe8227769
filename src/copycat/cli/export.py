"""`copycat export`: write a run's network for use outside Copycat."""

from collections.abc import Sequence
from pathlib import Path

from copycat.cli.arguments import add_uncalibrated, make_parser
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_progress


def run(words: Sequence[str]) -> None:
    """Export a run's network with a model card and a script."""
    parser = make_parser("export")
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a completed run, or of a trial")
    parser.add_argument("--format", choices=["safetensors", "torch", "onnx"], required=True, help="file format")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="destination (default: export/FORMAT in the run's folder)"
    )
    add_uncalibrated(parser)
    arguments = parser.parse_args(words)
    from copycat.deploy.arguments import check_export_folder, open_completed

    opened = open_completed(arguments.run)
    if arguments.to is not None:
        check_export_folder(arguments.to)
    print_progress(f"loading the network of {arguments.run}")  # the imports take seconds
    with defer_garbage_collection():
        from copycat.deploy.export import print_export

    print_export(opened, arguments.format, to=arguments.to, say=print_progress, calibrated=not arguments.uncalibrated)
