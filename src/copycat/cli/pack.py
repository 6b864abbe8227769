"""`copycat pack`: write a run or a sweep as one file that others can rerun."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from copycat.cli.arguments import make_parser
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize


def run(words: Sequence[str]) -> None:
    """Write the package, and print what it holds."""
    parser = make_parser("pack")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a run, or a sweep")
    parser.add_argument("to", type=Path, metavar="FILE.zip", help="the file to write")
    parser.add_argument(
        "--data",
        action="store_true",
        help="pack the images too, up to 500 MB: only if you may pass them on",
    )
    arguments = parser.parse_args(words)
    from copycat.archives.packing import pack

    packed = pack(arguments.folder, arguments.to, with_data=arguments.data)
    what = f"{pluralize(packed.runs, 'run')}, {pluralize(packed.files, 'file')}, {packed.bytes / 1e6:.1f} MB"
    print_line(f"{packed.path}: {what}")
    print_line(f"sha256: {packed.sha256}")
    if packed.missing_data:
        print_line(f"without the images in {packed.missing_data}: to rerun it, type --data {packed.to_give}")
    print_line(f"next: copycat rerun {quote(str(packed.path))}")
