"""The table of runs, read from their folders. Imports nothing heavy."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from copycat.config.errors import UserError
from copycat.runs.folder import MANIFEST, read_manifest

SHOWN = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
WIDE = 140
"""Columns of a terminal from which all of them are shown."""


def find_runs(root: Path) -> Iterator[Path]:
    """Run folders at or below root, in the order of their names."""
    for folder, inside, files in os.walk(root):
        inside.sort()
        if MANIFEST in files:
            inside.clear()
            yield Path(folder)


def print_runs(root: Path) -> None:
    """Print the runs at or below a folder to standard output, the newest last.

    Raises:
        UserError: where there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of runs; got none. Make a run: copycat train.")
    # a pipe has no width: each run stays on its line there
    console = Console(width=None if os.isatty(1) else 400, highlight=False, markup=False)
    shown = SHOWN if console.width >= WIDE else SHOWN[-1:]
    table = Table()
    for title in ("run", "status", "overrides", *(f"final\n{name}" for name in shown), "epochs", "seconds"):
        if (title != "epochs" and title != "seconds") or console.width >= WIDE:
            table.add_column(title, overflow="ellipsis", no_wrap=True, justify="right" if "/" in title else "left")
    broken = []
    rows = []
    for folder in find_runs(root):
        try:
            manifest = read_manifest(folder)
            rows.append((manifest["started"], _row(folder, root, manifest, shown)))
        except (OSError, ValueError, KeyError) as error:
            broken.append(f"copycat: {folder / MANIFEST}: expected a run's manifest; got {error}.")
    for _, row in sorted(rows):
        table.add_row(*row[: len(table.columns)])
    if rows:
        console.print(table)
    else:
        print(f"no runs in {root}. Make one: copycat train")
    for line in broken:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(line)


def _row(folder: Path, root: Path, manifest: dict[str, Any], shown: Sequence[str]) -> tuple[str, ...]:
    came_out = manifest["came_out"]
    final = came_out.get("final", {})
    seconds = manifest["seconds"]
    return (
        str(folder.relative_to(root)) if folder != root else folder.name,
        manifest["status"] + (" (drawn)" if manifest["data"]["synthetic"] else ""),
        " ".join(manifest["asked"]["overrides"]),
        *(f"{final[name]:.4f}" if name in final else "–" for name in shown),
        str(came_out.get("epochs", "–")),
        "–" if seconds is None else f"{seconds:.1f}",
    )
