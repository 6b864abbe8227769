"""The commands, their parsers, and the arguments that several of them share."""

import argparse
import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from copycat.config.errors import UserError
from copycat.config.flags import Parser

if TYPE_CHECKING:
    from copycat.tables.paper_table import PaperRequest

COMMANDS = {
    "train": "Train a network, or with -m a sweep of trials: experiment=lecture optimizer.lr=1e-3",
    "inspect": "Show a network before it trains: layers, parameters, FLOPs; its learning rates; or a run's weights",
    "data": "Download, check, draw or convert images",
    "resume": "Resume a run or a sweep that was killed, interrupted, or failed; or extend a run to more epochs or time",
    "best": "Find the best model for a folder of images within some minutes, and measure it by nested cross-validation",
    "prove": "Prove which configuration of a sweep is best: race the best ones over seeds and folds",
    "rerun": "Rerun a run from its folder, compare bit for bit, and name the first difference and its likely cause",
    "pack": "Pack a run or a sweep into one file that others can rerun: configuration, versions, weights, records",
    "unpack": "Unpack a package into a new folder, without running anything",
    "runs": "List runs, or the ranked trials of a sweep: sort, filter, show the best, write CSV or JSON",
    "compare": "Compare runs side by side: the keys that differ in their configurations, and their metrics",
    "plots": "Draw a sweep as PNG files: history, parallel coordinates, importance, slice, Pareto front",
    "report": "Write a run, a sweep, or several runs side by side as one HTML page that works offline",
    "predict": "Classify images with a run's final weights",
    "evaluate": "Evaluate runs, alone or as one ensemble, with confidence intervals",
    "calibrate": "Calibrate a run: its probabilities, thresholds for costs or a recall, sets with a stated coverage",
    "export": "Export a run's network for use outside Copycat, or as a web page, with a model card and a script",
    "app": "Serve a web page that classifies images with runs side by side, until Ctrl-C",
    "serve": "Serve an HTTP endpoint that classifies images, and the app on top of it, until Ctrl-C",
    "board": "Serve TensorBoard for runs, until Ctrl-C",
    "clean": "Show what can be removed from a folder of runs, with sizes; remove it with --yes",
}
"""Each command with its line in the help, in the order of the help; its file in this package has its name."""
PAPER_FORMS = ("latex", "markdown")
"""Forms of output that are a table for a paper."""
PNG_KINDS = ("contact sheet", "plot")
OUTPUT_KINDS: Mapping[str, bytes] = {
    "contact sheet": rb"\x89PNG.*Software\0Copycat",
    "plot": rb"\x89PNG.{21}\x03",  # with a palette, which a photo lacks
    "page": rb"<!doctype html>",
    "table of images": rb"path,label,(split,)?exclude,",
    "LaTeX table": rb"% \\usepackage\{booktabs\}",
    "Markdown table": rb"\| ",
}
"""How the files of each kind begin that commands write where a flag says: a photo, say, is none, and is kept."""
OUTPUTS = Path("outputs")
"""Default folder of `runs` and `board`."""


def make_parser(command: str) -> Parser:
    """Make the parser of a command, with `--debug` alone."""
    parser = Parser(prog=f"copycat {command}", description=COMMANDS[command])
    parser.add_argument("--debug", action="store_true", help="show where an error came from")  # `main` has taken it
    return parser


def whole_number(most: int, *, least: int = 0) -> Callable[[str], int]:
    """Make an argument type for whole numbers from `least` to `most`, both included."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}; got {text!r}")
        return int(text)

    return parse


def check_output_file(name: str, path: Path, kind: str, *, inputs: Iterable[Path] = ()) -> None:
    """Check that the file that a flag names can be written, before the work whose result it shall hold.

    It replaces an earlier output of its kind (of `OUTPUT_KINDS`), and no other file, least of all an input.
    """
    if kind in PNG_KINDS and path.suffix.lower() != ".png":
        raise UserError(f"{name}: expected a file that ends in .png; got {path}.")
    if path.is_dir():
        raise UserError(f"{name}: expected a file to write to; got {path}, a folder.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{name}: expected a file to write to; got {path}, whose folder cannot be written to.")
    if not path.exists():
        return
    if any(file.exists() and path.samefile(file) for file in inputs):
        raise UserError(f"{name}: expected another file than the images to classify; got {path}. Name a new file.")
    with suppress(OSError), path.open("rb") as file:
        if (start := file.read(256)) and not re.match(OUTPUT_KINDS[kind], start, re.DOTALL):
            raise UserError(
                f"{name}: expected a new file, or an earlier {kind} of Copycat to replace; got {path}, another file."
                " Name a new one."
            )


def check_output_folder(name: str, path: Path) -> None:
    """Check that the folder that a flag or an argument names can be made, or written to, before the work."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        reason = os.strerror(errno.EACCES if existing.is_dir() else errno.ENOTDIR)
        raise UserError(f"{name}: expected a folder to write to; got {path}: {reason}.")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the flags of commands that serve a web page."""
    parser.add_argument("--port", type=whole_number(65535), default=0, help="port to serve on (default: any free port)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, but do not open a browser")


def add_served_runs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands that serve runs."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN", help="completed runs, sweeps, or folders of runs"
    )
    add_uncalibrated(parser)
    parser.add_argument(
        "--max-megapixels",
        type=whole_number(10_000, least=1),
        default=50,
        metavar="N",
        help="refuse larger images (default: 50)",
    )


def add_views(parser: argparse.ArgumentParser) -> None:
    """Add the flag for test-time augmentation."""
    from copycat.deploy.arguments import MAX_VIEWS

    parser.add_argument(
        "--views",
        type=whole_number(MAX_VIEWS, least=1),
        default=1,
        metavar="N",
        help="average over each image and N-1 augmented copies (test-time augmentation)",
    )


def add_paper_table(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose what a table for a paper shows."""
    add = parser.add_argument
    add("--rows", metavar="KEYS", help="keys that label the rows, as model,optimizer.lr (default: those that differ)")
    add("--columns", metavar="KEYS", help="keys whose values make columns (default: none)")
    add(
        "--metrics",
        metavar="NAMES",
        help="metrics, as val/accuracy,val/loss (default: a sweep's objectives)",
    )
    add("--digits", type=whole_number(12), metavar="N", help="decimals (default: 3)")


def read_paper_request(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> "PaperRequest | None":
    """Return the contents of a table for a paper, None without one; end with an error where options need one."""
    if arguments.form not in PAPER_FORMS:
        for name in ("rows", "columns", "metrics", "digits"):
            if getattr(arguments, name) is not None:
                parser.error(f"--{name}: expected --latex or --markdown beside it; got neither")
        return None
    from copycat.tables.paper_table import PaperRequest

    names = {name: split_names(getattr(arguments, name)) for name in ("rows", "columns", "metrics")}
    return PaperRequest(**names, digits=3 if arguments.digits is None else arguments.digits, in_python=False)


def split_names(words: str | None) -> list[str]:
    """Split names at commas; none without words."""
    return [word.strip() for word in (words or "").split(",") if word.strip()]


def add_uncalibrated(parser: argparse.ArgumentParser) -> None:
    """Add the flag to leave a run's calibration out."""
    parser.add_argument(
        "--uncalibrated", action="store_true", help="ignore the calibration that `copycat calibrate` made"
    )


def add_forms(parser: argparse.ArgumentParser, **more: str) -> None:
    """Add mutually exclusive flags for output formats: CSV, JSON, and others with their help texts."""
    group = parser.add_mutually_exclusive_group()
    forms = {
        **more,
        "csv": "print CSV, with numbers in full precision",
        "json": "print JSON, with numbers in full precision",
    }
    for form, text in forms.items():
        group.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="table", help=text)
