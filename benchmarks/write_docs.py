"""Remakes docs/performance.md from what the benchmarks print: python benchmarks/write_docs.py [NAME …] [--from FOLDER]

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

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
KEPT = Path("outputs/benchmarks")
TITLES = {
    "one_run": "A run beside a loop written by hand",
    "overhead": "A step's overhead",
    "startup": "Start-up",
    "memory": "Memory",
    "packed": "Many trials as one",
    "inspection": "Looking at a run",
    "predict": "Many images",
    "classes": "Many classes",
    "app": "The page under load",
    "launchers": "Launchers",
    "peers": "Peers",
}
"""In the order of the page; what is said of each is the docstring of its file."""
OPENING = """# Performance

What Copycat costs in time and memory beside what one would write by hand. Each figure comes from a command in
[benchmarks/](../benchmarks), and stands here as that command printed it, with the day and the machine in its first two
lines. On another machine the seconds are others, so it is the ratios that count: sides run in turn, as whole processes,
and a ratio is the median of its rounds. Each ends with what was asked beside what was measured.

This page is made by `python benchmarks/write_docs.py`; what is typed into it is lost.
"""


def run(name: str) -> str:
    """What a benchmark prints, also where it ends with a limit that is not kept; one that fails ends this."""
    words = [sys.executable, str(HERE / f"{name}.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    printed = f"$ python benchmarks/{name}.py\n" + "".join(lines)
    if process.returncode and "NOT KEPT" not in printed:  # a traceback has status 1 as well
        sys.exit(f"{name} ended with {process.returncode}")
    return printed


def page(outputs: Mapping[str, str]) -> Iterator[str]:
    yield OPENING
    for name, printed in outputs.items():
        docstring = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
        _, _, said = docstring.partition("\n\n")  # the first line says how to call it, and so does the block
        yield f"## {TITLES[name]}\n\n{said}\n"
        yield f"```console\n{printed.rstrip()}\n```\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TITLES)}")
    parser.add_argument("--from", dest="kept", type=Path, help="folder of outputs that were kept earlier")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(TITLES):
        parser.error(f"expected names of {', '.join(TITLES)}; got {', '.join(sorted(unknown))}")
    kept = asked.kept or KEPT
    for name in asked.names or ([] if asked.kept else TITLES):
        printed = run(name)
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"{name}.txt").write_text(printed)
    shown = TITLES if asked.kept or not asked.names else asked.names
    if missing := [name for name in shown if not (kept / f"{name}.txt").is_file()]:
        print(f"no {', '.join(f'{name}.txt' for name in missing)} in {kept}: name them to run them", file=sys.stderr)
    shown = [name for name in shown if name not in missing]
    PAGE.write_text("\n".join(page({name: (kept / f"{name}.txt").read_text() for name in shown})))


if __name__ == "__main__":
    main()
