"""`copycat clean`: show what can be removed from a folder of runs, and with --yes remove it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from copycat.cli.arguments import OUTPUTS, make_parser, whole_number
from copycat.cli.exit_status import DONE, FAILED
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize

if TYPE_CHECKING:
    from copycat.archives.removable import Removable

MAX_LINES = 20
"""Number of folders that are listed of each kind."""


def run(words: Sequence[str]) -> int:
    """Print what can be removed, with sizes, and remove it where --yes is given."""
    from copycat.archives.removable import KINDS, Removable, SkippedFolder, find_removable

    parser = make_parser("clean")
    add = parser.add_argument
    folder_help = f"a folder of runs, or a sweep (default: {OUTPUTS})"
    add("folder", type=Path, nargs="?", default=OUTPUTS, metavar="FOLDER", help=folder_help)
    add("--yes", action="store_true", help="remove what is shown; without it nothing is removed")
    add("--only", action="append", choices=list(KINDS), metavar="KIND", help=f"one of {', '.join(KINDS)}; repeatable")
    keep_help = "keep the checkpoints of the N best trials, or configurations, of a sweep (default: 1)"
    add("--keep", type=whole_number(10**9, least=1), default=1, metavar="N", help=keep_help)
    arguments = parser.parse_args(words)
    found = list(find_removable(arguments.folder, keep=arguments.keep))
    wanted = [one for one in found if isinstance(one, Removable) and one.kind in (arguments.only or KINDS)]
    left = [one for one in found if isinstance(one, SkippedFolder)]
    for kind, title in KINDS.items():
        _print_kind(title, [one for one in wanted if one.kind == kind])
    for one in left:
        print_line(f"left alone: {one.folder}: {one.why}")
    total = f"{pluralize(sum(len(one.paths) for one in wanted), 'item')}, {_size(sum(one.bytes for one in wanted))}"
    if not wanted:
        print_line(f"{arguments.folder}: nothing to remove")
        return DONE
    if not arguments.yes:
        typed = shlex.join(["copycat", "clean", *words, "--yes"])
        print_line(f"total: {total}; nothing is removed yet. To remove it: {typed}")
        return DONE
    from copycat.archives.cleaning import remove

    outcomes = list(remove(wanted, root=arguments.folder))
    failures = [one for one in outcomes if isinstance(one, SkippedFolder)]
    for failure in failures:
        print_line(f"copycat: not removed: {failure.folder}: {failure.why}", error=True)
    removed = [one for one in outcomes if isinstance(one, Removable)]
    count = pluralize(sum(len(one.paths) for one in removed), "item")
    print_line(f"removed {count}, {_size(sum(one.bytes for one in removed))}")
    return FAILED if failures else DONE


def _print_kind(title: str, found: Sequence["Removable"]) -> None:
    """Print the folders of one kind with their sizes."""
    if not found:
        return
    print_line(f"{title}: {_size(sum(one.bytes for one in found))}")
    for one in found[:MAX_LINES]:
        names = ", ".join(path.name for path in one.paths[:3]) + (", …" if len(one.paths) > 3 else "")
        whole = one.paths[0] if len(one.paths) == 1 else None
        print_line(f"  {_size(one.bytes):>9}  {whole or f'{one.owner}: {names}'}")
    if len(found) > MAX_LINES:
        print_line(f"  and {pluralize(len(found) - MAX_LINES, 'folder')} more")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
