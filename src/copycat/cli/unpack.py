"""`copycat unpack`: unpack a package into a new folder."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from copycat.cli.arguments import make_parser
from copycat.config.printable import print_line


def run(words: Sequence[str]) -> None:
    """Unpack, and print the folders of runs and images."""
    parser = make_parser("unpack")
    parser.add_argument("package", type=Path, metavar="FILE.zip", help="a package of copycat pack")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder, or an empty one")
    arguments = parser.parse_args(words)
    from copycat.archives.unpacking import unpack

    found = unpack(arguments.package, arguments.folder)
    first = found.folder / found.contents.kind
    print_line(first)
    for place in sorted(set(found.contents.data.values())):
        print_line(found.folder / place)
    command = "runs" if found.contents.kind == "sweep" else "rerun"
    print_line(f"next: copycat {command} {quote(str(first))}")
