"""The commands of the guide, and what they print: python docs/console.py remakes the outputs in guide.md.

A block that begins with `$ copycat` is a command; the lines after it are its standard output. Times and the names of
run folders differ from run to run, and are written as `…`.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

GUIDE = Path(__file__).parent / "guide.md"
BLOCK = re.compile(r"```console\n\$ copycat (?P<words>[^\n]*)\n(?P<output>.*?)```", re.DOTALL)
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-[0-9a-f]{6}"), "…/…"),
    (re.compile(r"\d+\.\d s$", re.MULTILINE), "… s"),
    (re.compile(r"(?<=│ )\d+\.\d +│$", re.MULTILINE), "… │"),  # seconds, in the table of runs
    (re.compile(r" +$", re.MULTILINE), ""),
)
ENVIRONMENT = {"COLUMNS": "110", "NO_COLOR": "1"}
"""As wide as a page, and never the width of who remakes it."""


def commands(page: str) -> Iterator[tuple[str, str]]:
    """The words after `copycat`, and the output that the page shows."""
    for block in BLOCK.finditer(page):
        yield block["words"], block["output"]


def as_shown(printed: str) -> str:
    """With what varies written as `…`."""
    for varying, instead in VARYING:
        printed = varying.sub(instead, printed)
    return printed


def output(words: str, *, at: Path) -> str:
    """What a command prints in that folder, as it is shown.

    Raises:
        subprocess.CalledProcessError: where it fails.
    """
    command, environment = [sys.executable, "-m", "copycat", *shlex.split(words)], {**os.environ, **ENVIRONMENT}
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=600, check=True)
    return as_shown(done.stdout)


def main() -> None:
    page = GUIDE.read_text()
    with tempfile.TemporaryDirectory() as folder:
        made = BLOCK.sub(
            lambda block: f"```console\n$ copycat {block['words']}\n{output(block['words'], at=Path(folder))}```", page
        )
    GUIDE.write_text(made)


if __name__ == "__main__":
    main()
