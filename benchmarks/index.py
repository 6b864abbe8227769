"""Measure what the index of run folders saves.

    python benchmarks/index.py [--folders 10000]

Writes so many trials of a sweep, as `copycat train -m` leaves them but each with metrics of its own, and reads them as
`copycat runs` does, in fresh processes: once without an index, with it, and after 1 % of the trials were changed.
Prints the times, their ratio, and how much of a later read goes to asking the file system for each file's state. The
exit status is 1 if a later read, the start of Python not counted, takes more than 0.3 s of processor time.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
from rounds import Limit, report_limits

LIMIT = 0.3
ONCE = """
import sys, time
from pathlib import Path
from copycat.tables import index
root = Path(sys.argv[1])
began, busy = time.perf_counter(), time.process_time()
assert len(index.read_rows(root)) == int(sys.argv[2])
read, read_busy = time.perf_counter() - began, time.process_time() - busy
busy = time.process_time()
for _ in index._walk(root):
    pass
print(read, read_busy, time.process_time() - busy)
"""


def make(root: Path, folders: int) -> None:
    """Make a sweep from a real trial, whose folder is copied without tensors, event files and histories."""
    words = ["seed=0,1", "trainer.max_epochs=2", "logger=none", f"sweep.folder={root}"]
    subprocess.run([sys.executable, "-m", "copycat", "train", "-m", *words], check=True, capture_output=True)
    first, chance = root / "0", random.Random(0)
    manifest, trial = (json.loads((first / name).read_text()) for name in ("run.json", "trial.json"))
    overrides = [word for word in trial["overrides"] if not word.startswith("seed=")]
    for number in range(folders):
        folder, results, words = root / str(number), manifest["results"], [*overrides, f"seed={number}"]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        final, best = ({name: chance.random() for name in results["final"]} for _ in range(2))
        results = {**results, "final": final, "best": {**results["best"], "metrics": best}}
        request = {**manifest["request"], "overrides": words}
        (folder / "run.json").write_text(json.dumps({**manifest, "request": request, "results": results}))
        objectives = {name: best[name] for name in trial["objectives"]}
        changed = {"number": number, "overrides": words, "values": {"seed": number}, "objectives": objectives}
        (folder / "trial.json").write_text(json.dumps({**trial, **changed}))


def seconds(root: Path, folders: int) -> tuple[float, float, float]:
    """Return the seconds to read all rows, the processor's share of them, and the processor's seconds of the walk."""
    printed = subprocess.check_output([sys.executable, "-c", ONCE, str(root), str(folders)], text=True)
    read, busy, walk = map(float, printed.split())
    return read, busy, walk


def change(root: Path, folders: int, number: int) -> None:
    """Change every hundredth trial's record."""
    for place in range(number % 100, folders, 100):
        file = root / str(place) / "trial.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "attempts": number + 2}))


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COPYCAT_CACHE"] = str(Path(folder) / "cache")
        root = Path(folder) / "sweep"
        make(root, options.folders)
        time.sleep(3)  # what was written just now is not remembered
        first, *_ = seconds(root, options.folders)
        later, busy, walks = zip(*(seconds(root, options.folders) for _ in range(options.rounds)), strict=True)
        changed = []
        for number in range(options.rounds):
            change(root, options.folders, number)
            time.sleep(3)
            changed.append(seconds(root, options.folders)[0])
    again, processor, walk = map(statistics.median, (later, busy, walks))
    summary = f"read first in {first:.2f} s, later in {again:.2f} s, the ratio {first / again:.1f}"
    print(f"{options.folders} folders: {summary}")
    print(f"of a later read's {processor:.2f} s of processor time the stat walk takes {walk:.2f} s")
    print(f"after a change of 1 %: {statistics.median(changed):.2f} s")
    limit = Limit("a later read", f"at most {LIMIT} s", f"{processor:.2f} s of processor time", processor <= LIMIT)
    return report_limits([limit])


if __name__ == "__main__":
    sys.exit(main())
