"""Run the commands that the pages show, and write their outputs into the pages.

    python docs/console.py [FOLDER …]

A block that begins with `$ copycat` is a command; the lines after it are its standard output. The pages of a folder
share one working directory, in the order of the folder's index.md, so that one page may use what another page made.
RUN stands for the run that was trained last. Times and the names of run folders differ from run to run, and are written
as `…`.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
BLOCK = re.compile(r"```console\n\$ copycat (?P<words>[^\n]*)\n(?P<output>.*?)```", re.DOTALL)
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-[0-9a-f]{6}"), "…/…"),
    (re.compile(r"\d+\.\d s$", re.MULTILINE), "… s"),
    (re.compile(r"(│ \d+ +│ )\d+\.\d( +)│$", re.MULTILINE), r"\1…  \2│"),  # seconds behind epochs, in the table of runs
    (re.compile(r"^(│ seconds +│).*", re.MULTILINE), r"\1 …"),  # in a comparison
    (re.compile(r"\b[0-9a-f]{12}\b"), "…"),  # a digest, which differs from machine to machine
    (re.compile(r" +$", re.MULTILINE), ""),
)
ENVIRONMENT = {"COLUMNS": "110", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
"""What an output depends on: the width, colors, and the number of threads, which changes bits."""


def folders() -> list[Path]:
    """Return the folders of pages that show commands with their outputs."""
    return sorted({page.parent for page in DOCS.rglob("*.md") if commands(page)})


def pages(folder: Path) -> list[Path]:
    """Return the pages of a folder in the order in which its index.md names them."""
    index = folder / "index.md"
    named = index.read_text(encoding="utf-8") if index.is_file() else ""
    return sorted(folder.glob("*.md"), key=lambda page: (named.find(f"\n{page.stem}\n"), page.name))


def commands(page: Path) -> list[tuple[str, str]]:
    """Return the words after `copycat`, and the output that the page shows, of each command."""
    return [(block["words"], block["output"]) for block in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def arguments(words: str, *, at: Path) -> list[str]:
    """Return the arguments of a command, with the run trained last in place of RUN."""
    runs = sorted(at.glob("outputs/*/*/*/run.json"), key=lambda file: file.stat().st_mtime)
    latest = str(runs[-1].parent.relative_to(at)) if runs else "RUN"
    return [latest if word == "RUN" else word for word in shlex.split(words)]


def mask_varying(printed: str) -> str:
    """Replace what differs from run to run by `…`."""
    for varying, instead in VARYING:
        printed = varying.sub(instead, printed)
    return printed


def output(words: str, *, at: Path) -> str:
    """Return what a command prints in a folder, as the page shows it.

    Raises:
        subprocess.CalledProcessError: where it fails.
    """
    command, environment = [sys.executable, "-m", "copycat", *arguments(words, at=at)], {**os.environ, **ENVIRONMENT}
    done = subprocess.run(command, cwd=at, env=environment, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    return mask_varying(done.stdout)


def remake(folder: Path) -> Iterator[Path]:
    """Rewrite the outputs in the pages of a folder, and yield the pages that show some."""
    with tempfile.TemporaryDirectory() as at:
        for page in pages(folder):
            if commands(page):
                text = BLOCK.sub(
                    lambda block: f"```console\n$ copycat {block['words']}\n{output(block['words'], at=Path(at))}```",
                    page.read_text(encoding="utf-8"),
                )
                page.write_text(text, encoding="utf-8")
                yield page


def main() -> None:
    """Rewrite the outputs in the pages of the named folders, or of all."""
    for folder in [Path(word) for word in sys.argv[1:]] or folders():
        for page in remake(folder):
            print(page)


if __name__ == "__main__":
    main()
