"""Remake docs/reference/performance.md from what the benchmarks print.

    python benchmarks/write_docs.py [NAME …] [--from FOLDER]

Runs those that are named, or all, one after the other, and keeps what each prints in FOLDER/NAME.txt, after the command
that printed it; one that was called with words of one's own may be put there by hand, in the same form. With --from,
the others are taken from what was kept there, so that a single one can be remade; --from without a name runs none. The
cat data must lie in ./data, or where COPYCAT_DATA says.
"""

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rounds import NOT_MET

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "performance.md"
KEPT = Path("outputs/benchmarks")
TITLES = {
    "one_run": "A run beside a loop written by hand",
    "overhead": "A step's overhead",
    "startup": "Start-up",
    "memory": "Memory",
    "concurrent_runs": "Runs at once",
    "packed": "Many trials as one",
    "inspection": "Looking at a run",
    "predict": "Many images",
    "classes": "Many classes",
    "app": "The page under load",
    "commands": "Commands that look at runs",
    "index": "The index of runs",
    "search_overhead": "A search's overhead",
    "growth": "How costs grow",
    "launchers": "Launchers",
    "peers": "Peers",
}
"""Titles in the order of the page; the text below each is the docstring of its file."""
OPENING = """# Performance

This page compares the time and memory of Copycat with those of hand-written code. A command in benchmarks/ measured
each figure, and the page shows what the command printed; the first two lines name the day and the machine. On another
machine the seconds differ, so the ratios count: both sides run in turn, as whole processes, and a ratio is the median
over the rounds. Each output ends with the required limits beside the measured values.

`python benchmarks/write_docs.py` makes this page, and overwrites changes to it.
"""


def run(name: str) -> str:
    """Return what a benchmark prints, also where it exceeds a limit; exit where it fails."""
    words = [sys.executable, str(HERE / f"{name}.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    printed = f"$ python benchmarks/{name}.py\n" + "".join(lines)
    if process.returncode and NOT_MET not in printed:  # a traceback has status 1 as well
        sys.exit(f"{name} ended with {process.returncode}")
    return printed


def page(outputs: Mapping[str, str]) -> Iterator[str]:
    """Yield the sections of the page."""
    yield OPENING
    for name, printed in outputs.items():
        docstring = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
        _summary, _command, text = docstring.split("\n\n", 2)  # the block below the text shows the command
        yield f"## {TITLES[name]}\n\n{text}\n"
        yield f"```console\n{printed.rstrip()}\n```\n"


def main() -> None:
    """Run benchmarks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TITLES)}")
    parser.add_argument("--from", dest="kept", type=Path, help="folder of outputs that were kept earlier")
    options = parser.parse_args()
    if unknown := set(options.names) - set(TITLES):
        parser.error(f"expected names of {', '.join(TITLES)}; got {', '.join(sorted(unknown))}")
    kept = options.kept or KEPT
    for name in options.names or ([] if options.kept else TITLES):
        printed = run(name)
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"{name}.txt").write_text(printed)
    shown = TITLES if options.kept or not options.names else options.names
    if missing := [name for name in shown if not (kept / f"{name}.txt").is_file()]:
        print(f"no {', '.join(f'{name}.txt' for name in missing)} in {kept}: name them to run them", file=sys.stderr)
    shown = [name for name in shown if name not in missing]
    PAGE.write_text("\n".join(page({name: (kept / f"{name}.txt").read_text() for name in shown})))


if __name__ == "__main__":
    main()
