"""Run the code and the commands of the tutorial, and write what they print into its pages.

    python docs/write_tutorial.py [PAGE …]

In a page, in order:

- a `python` block runs in a namespace that the page's blocks share; a `text` block right after it is what it prints;
- a block that begins with `# PATH` is that file, written to the folder where the page runs;
- a `shell-session` block that begins with `$ copycat` is a command, then what it prints, with `| head -n N` its first
  lines.

The cat data must lie in ./data, or where COPYCAT_DATA says.
"""

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from console import ENVIRONMENT, mask_varying

PAGES = Path(__file__).parent / "tutorial"
ORDER = ("images", "neuron", "training", "loss", "modules", "activations", "optimizers", "course", "questions")
BLOCK = re.compile(
    r"```(?P<kind>python|yaml|shell-session)\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL
)
FILE = re.compile(r"# (?P<path>\S+\.(?:py|yaml))\n")
COMMAND = re.compile(r"\$ copycat (?P<words>[^|\n]*?)(?: \| head -n (?P<lines>\d+))?\n(?P<output>.*)", re.DOTALL)
Run = Callable[[list[str]], str]
"""Run `copycat` with these words, and return what it prints."""


@dataclass(frozen=True)
class Block:
    """Hold a block of a page: what the page shows as its output, and what it prints now."""

    source: str
    shown: str
    printed: str
    new_text: str
    """The block as it should stand in the page."""


def run_page(page: str, *, run: Run) -> Iterator[Block]:
    """Run the blocks of a page in the current folder, and yield those that print something."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for found in BLOCK.finditer(page):
        code, shown = found["code"], found["output"] or ""
        if file := FILE.match(code):
            Path(file["path"]).parent.mkdir(parents=True, exist_ok=True)
            Path(file["path"]).write_text(code)
        elif found["kind"] == "python":
            with redirect_stdout(io.StringIO()) as output:
                exec(compile(code, "<tutorial>", "exec"), namespace)
            printed = output.getvalue()
            text = f"```python\n{code}```\n" + (f"\n```text\n{printed}```\n" if printed else "")
            yield Block(code, shown, printed, text)
        elif command := COMMAND.fullmatch(code):
            printed = mask_varying(run(shlex.split(command["words"])))
            if command["lines"]:
                printed = "".join(printed.splitlines(keepends=True)[: int(command["lines"])])
            head = code.partition("\n")[0]
            yield Block(head, command["output"], printed, f"```shell-session\n{head}\n{printed}```\n")


def is_run(block: re.Match[str]) -> bool:
    """Return whether a block is code or a command, and no file."""
    if block["kind"] == "shell-session":
        return bool(COMMAND.fullmatch(block["code"]))
    return block["kind"] == "python" and not FILE.match(block["code"])


def rewrite(page: str, *, run: Run) -> str:
    """Return a page with the outputs that its blocks print now."""
    blocks = run_page(page, run=run)

    def replace(found: re.Match[str]) -> str:
        return next(blocks).new_text if is_run(found) else found[0]

    return BLOCK.sub(replace, page)


def run_command(words: list[str]) -> str:
    """Run `copycat` in a new process; a wrong call prints to standard error."""
    environment = {**os.environ, **ENVIRONMENT}
    command = [sys.executable, "-m", "copycat", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode not in (0, 2):
        raise RuntimeError(done.stderr)
    return done.stdout if done.returncode == 0 else done.stderr


def main() -> None:
    """Rewrite the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(ORDER)}")
    data = Path(os.environ.get("COPYCAT_DATA", "data")).absolute()
    os.environ["COPYCAT_DATA"] = str(data)
    for name in parser.parse_args().pages or ORDER:
        path = PAGES / f"{name}.md"
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            sys.path.insert(0, folder)
            path.write_text(rewrite(path.read_text(), run=run_command))
            sys.path.remove(folder)


if __name__ == "__main__":
    main()
