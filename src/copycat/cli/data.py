"""`copycat data`: fetch, check or draw data."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from copycat.cli.arguments import make_parser, whole_number
from copycat.cli.exit_status import DONE, FAILED
from copycat.config.printable import print_line
from copycat.data.sources.root import check_image_folder, check_typed_root


def run(words: Sequence[str]) -> int:
    """Run one of the commands for data."""
    parser = make_parser("data")
    commands = parser.add_subparsers(metavar="COMMAND", dest="kind", required=True)

    def add(name: str, text: str, call: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(call=call)
        return command

    fetch = add("fetch", "Download a data set, once", _fetch)
    fetch.add_argument("name", choices=["cats"], help="the data set")
    fetch.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="destination (default: the folder that COPYCAT_DATA names, else ./data)",
    )
    check = add("check", "Check a data set: counts, duplicates, shifts between parts, unreadable files", _check)
    check.add_argument(
        "overrides",
        nargs="*",
        metavar="OVERRIDE",
        help="data to check, as in data=cats data.fold=2 (default: data=drawn)",
    )
    draw = add("draw", "Write the drawn images as PNG files, one sub-folder per class", _draw)
    draw.add_argument("folder", type=Path, metavar="FOLDER", help="destination, created if it does not exist")
    draw.add_argument(
        "--seed",
        type=whole_number(2**32 - 1),
        default=0,
        help="seed of the drawn images (default: 0, those that data=drawn trains on)",
    )
    arguments = parser.parse_args(words)
    return arguments.call(arguments) or DONE


def _fetch(arguments: argparse.Namespace) -> None:
    from copycat.data.sources.download import fetch_cats

    folder = arguments.folder or Path(os.environ.get("COPYCAT_DATA", "data"))
    for file in fetch_cats(folder):
        print_line(file)


def _check(arguments: argparse.Namespace) -> int:
    check_typed_root(arguments.overrides)
    from copycat.config.compose import compose
    from copycat.config.own_modules import allow_own_modules

    config = compose(arguments.overrides, check_data=False).config
    allow_own_modules(config)
    check_image_folder(config)
    from copycat.data.report import print_check
    from copycat.training.components import build_data
    from copycat.training.derived_settings import fill_image_size

    data = fill_image_size(config)["data"]
    stops = data.get("on_unreadable") == "stop"
    check = print_check(build_data({**data, "on_unreadable": "skip"} if stops else data, seed=config["seed"]))
    if not (stops and check.unreadable):
        return DONE
    print_line("training stops at unreadable files: mend or remove them, or leave them out by data.on_unreadable=skip")
    return FAILED


def _draw(arguments: argparse.Namespace) -> None:
    from copycat.data.synthetic.dataset import write_gallery

    print_line(write_gallery(arguments.folder, seed=arguments.seed))
