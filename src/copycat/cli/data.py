"""`copycat data`: fetch, check, draw or convert data."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from copycat.cli.arguments import check_output_file, check_output_folder, make_parser, whole_number
from copycat.cli.exit_status import DONE, FAILED
from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.places import expand_home
from copycat.config.printable import print_line
from copycat.config.suggestions import did_you_mean, pluralize
from copycat.data.sources.forms import FORMS, check_target, conversion_words
from copycat.data.sources.root import check_image_folder, check_typed_root

KINDS = ("duplicates", "labels", "outliers", "blank", "blurred", "small", "elongated")
"""Kinds of findings of a deep check."""
DEFAULT_EXCLUDE = ("duplicates", "blank")
"""Kinds that are left out by default: they need no judgment."""

PAGE = Path("data-check.html")
"""Default of `--to`."""


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
    check.add_argument(
        "--deep",
        action="store_true",
        help="look at every image: near-duplicates, suspect labels, outliers, blank and blurred images, sizes",
    )
    check.add_argument("--to", type=Path, metavar="FILE", help=f"of --deep: the page with thumbnails (default: {PAGE})")
    check.add_argument("--csv", type=Path, metavar="FILE", help="of --deep: write a table for data=csv")
    check.add_argument(
        "--exclude",
        metavar="KINDS",
        help=f"of --csv: what to leave out, of {','.join(KINDS)}, or none (default: {','.join(DEFAULT_EXCLUDE)})",
    )
    check.add_argument(
        "--predictions",
        type=Path,
        metavar="SWEEP",
        help="of --deep: compare labels with the predictions of a recorded sweep over data.fold",
    )
    draw = add("draw", "Write the drawn images as PNG files, one sub-folder per class", _draw)
    draw.add_argument("folder", type=Path, metavar="FOLDER", help="destination, created if it does not exist")
    draw.add_argument(
        "--seed",
        type=whole_number(2**32 - 1),
        default=0,
        help="seed of the drawn images (default: 0, those that data=drawn trains on)",
    )
    convert = add(
        "convert",
        "Copy a data set into Parquet shards, tars, Lance or a folder; after a kill, run it again to continue",
        _convert,
    )
    convert.add_argument("origin", metavar="FROM", help="a folder, a table, shards, or an address that fsspec opens")
    convert.add_argument("folder", type=Path, metavar="TO", help="destination, created if it does not exist")
    convert.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="how to read FROM, as in data.label_column=species"
    )
    convert.add_argument("--to", choices=FORMS, default=FORMS[0], help=f"form of the copy (default: {FORMS[0]})")
    convert.add_argument(
        "--rows", type=whole_number(2**20, least=1), default=4096, help="images of a shard (default: 4096)"
    )
    arguments = parser.parse_args(words)
    return arguments.call(arguments) or DONE


def _fetch(arguments: argparse.Namespace) -> None:
    from copycat.data.sources.download import fetch_cats

    folder = expand_home(arguments.folder or os.environ.get("COPYCAT_DATA") or "data")
    for file in fetch_cats(folder):
        print_line(file)


def _check(arguments: argparse.Namespace) -> int:
    exclude = _check_deep_flags(arguments)
    check_typed_root(arguments.overrides)
    from copycat.config.compose import compose
    from copycat.config.own_modules import allow_own_modules

    config = compose(arguments.overrides, check_data=False).config
    if (
        arguments.csv
        and (file := config["data"].get("file"))
        and expand_home(file).resolve() == arguments.csv.resolve()
    ):
        raise UserError(f"--csv: expected another file than data.file; got {file}, which would be overwritten.")
    allow_own_modules(config)
    check_image_folder(config)
    from copycat.data.report import print_check
    from copycat.training.components import build_data
    from copycat.training.derived_settings import fill_image_size

    data = fill_image_size(config)["data"]
    stops = data.get("on_unreadable") == "stop"
    module = build_data({**data, "on_unreadable": "skip"} if stops else data, seed=config["seed"])
    check = print_check(module)
    if arguments.deep:
        from copycat.inspection.quality.deep_report import report_deep_check

        report_deep_check(
            module,
            to=arguments.to or PAGE,
            table=arguments.csv,
            exclude=exclude,
            predictions=arguments.predictions,
        )
    if not (stops and check.unreadable):
        return DONE
    print_line("training stops at unreadable files: mend or remove them, or leave them out by data.on_unreadable=skip")
    return FAILED


def _check_deep_flags(arguments: argparse.Namespace) -> Sequence[str]:
    """Check the flags that belong to `--deep`, and return the kinds of findings to exclude."""
    for flag in ("to", "csv", "exclude", "predictions"):
        needed = "--csv FILE" if flag == "exclude" else "--deep"
        if getattr(arguments, flag) is not None and not getattr(arguments, "csv" if flag == "exclude" else "deep"):
            raise UserError(f"--{flag}: expected {needed} too; got none.")
    for flag, path, kind in (("--to", arguments.to or PAGE, "page"), ("--csv", arguments.csv, "table of images")):
        if arguments.deep and path is not None:
            check_output_file(flag, path, kind)
    if (folder := arguments.predictions) is not None and not folder.is_dir():
        raise UserError(f"--predictions: expected the folder of a sweep; got {folder}.")
    if folder is not None:
        require_package("cleanlab", wanted_by="--predictions")
    if arguments.exclude in (None, "none"):
        return DEFAULT_EXCLUDE if arguments.exclude is None else ()
    kinds = [word.strip() for word in arguments.exclude.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"--exclude: expected some of {', '.join(KINDS)}; got {kind!r}.{did_you_mean(kind, KINDS)}")
    return kinds


def _convert(arguments: argparse.Namespace) -> None:
    words = conversion_words(arguments.origin, arguments.overrides)
    check_target(arguments.origin, arguments.folder, arguments.to)
    from copycat.config.compose import compose
    from copycat.config.own_modules import allow_own_modules

    config = compose(words, check_data=False).config
    allow_own_modules(config)
    check_image_folder(config)
    from copycat.data.conversion.convert import convert
    from copycat.data.sources.image_source import ImageSource
    from copycat.training.components import build_data
    from copycat.training.derived_settings import fill_image_size

    node = {**fill_image_size(config)["data"], "memory_mb": 0, "cache": False}
    source = build_data(node, seed=config["seed"]).source
    if not isinstance(source, ImageSource):
        raise UserError("data convert: expected images of files, a table or shards; this source generates its images.")
    done = convert(source, arguments.folder, form=arguments.to, rows=arguments.rows)
    kept = (
        f"; {pluralize(done.kept, 'image' if arguments.to == 'folder' else 'shard')} already existed"
        if done.kept
        else ""
    )
    skipped = f"; {pluralize(done.unreadable, 'unreadable image')} left out" if done.unreadable else ""
    lost = f"; a folder does not hold {' and '.join(done.lost)}" if done.lost else ""
    print_line(f"{pluralize(done.images, 'image')} in {arguments.folder}{kept}{skipped}{lost}")


def _draw(arguments: argparse.Namespace) -> None:
    check_output_folder("FOLDER", arguments.folder)
    from copycat.data.synthetic.dataset import write_gallery

    print_line(write_gallery(arguments.folder, seed=arguments.seed))
