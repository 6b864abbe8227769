"""The table of runs, read from their folders. Imports nothing heavy."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from copycat.config.errors import UserError
from copycat.runs.folder import MANIFEST, read_manifest

SHOWN = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


def find_runs(root: Path) -> Iterator[Path]:
    """Run folders at or below root, oldest name first."""
    for folder, inside, files in os.walk(root):
        inside.sort()
        if MANIFEST in files:
            inside.clear()
            yield Path(folder)


def print_runs(root: Path) -> None:
    """Print the runs at or below a folder to standard output.

    Raises:
        UserError: where there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of runs; got none. Make a run: copycat train.")
    table = Table()
    for title in ("run", "status", "data", "overrides", "epochs", *(f"final\n{name}" for name in SHOWN), "seconds"):
        table.add_column(title, overflow="fold", justify="right" if "/" in title else "left")
    broken = []
    for folder in find_runs(root):
        try:
            table.add_row(*_row(folder, root, read_manifest(folder)))
        except (OSError, ValueError, KeyError) as error:
            broken.append(f"copycat: {folder / MANIFEST}: expected a run's manifest; got {error}.")
    if table.row_count:
        # a pipe has no width: each run stays on its line there
        console = Console(width=None if os.isatty(1) else 400, highlight=False, markup=False)
        console.print(table)
    else:
        print(f"no runs in {root}. Make one: copycat train")
    for line in broken:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(line)


def _row(folder: Path, root: Path, manifest: dict[str, Any]) -> tuple[str, ...]:
    came_out = manifest["came_out"]
    final = came_out.get("final", {})
    source = manifest["data"]["source"].rpartition(".")[2].lower()
    seconds = manifest["seconds"]
    return (
        str(folder.relative_to(root)) if folder != root else folder.name,
        manifest["status"],
        f"{source} (drawn)" if manifest["data"]["synthetic"] and source != "drawn" else source,
        " ".join(manifest["asked"]["overrides"]),
        str(came_out.get("epochs", "–")),
        *(f"{final[name]:.4f}" if name in final else "–" for name in SHOWN),
        "–" if seconds is None else f"{seconds:.1f}",
    )
