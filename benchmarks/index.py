"""What the index of run folders saves: python benchmarks/index.py [--folders 10000]

Writes so many trials of a sweep, as `copycat train -m` leaves them, and reads them as `copycat runs` does, in fresh
processes: once without an index, with it, and after 1 % of the trials were changed. Prints the times, their ratio, and
how much of a later read goes to asking the file system for each file's state. Ends with status 1 where a later read,
the start of Python not counted, takes 2 s or more.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 2.0
ONCE = """
import sys, time
from pathlib import Path
from copycat.tables import index
root = Path(sys.argv[1])
began = time.perf_counter()
assert len(index.read_rows(root).rows) == int(sys.argv[2])
read = time.perf_counter() - began
began = time.perf_counter()
for _ in index._walk(root):
    pass
print(read, time.perf_counter() - began)
"""


def make(root: Path, folders: int) -> None:
    """A sweep of two real trials, whose folders but for tensors and event files are copied."""
    words = ["seed=0,1", "trainer.max_epochs=2", "logger=none", f"sweep.folder={root}"]
    subprocess.run([sys.executable, "-m", "copycat", "train", "-m", *words], check=True, capture_output=True)
    first = root / "0"
    for file in (*first.glob("checkpoints/*"), *first.glob("weights*")):
        file.unlink()
    trial = json.loads((first / "trial.json").read_text())
    for number in range(1, folders):
        shutil.rmtree(root / str(number), ignore_errors=True)
        shutil.copytree(first, root / str(number))
        (root / str(number) / "trial.json").write_text(json.dumps({**trial, "number": number}))


def seconds(root: Path, folders: int) -> tuple[float, float]:
    """Of reading them, and of the stat walk alone."""
    said = subprocess.check_output([sys.executable, "-c", ONCE, str(root), str(folders)], text=True)
    read, walk = map(float, said.split())
    return read, walk


def change(root: Path, folders: int, number: int) -> None:
    for place in range(number % 100, folders, 100):
        file = root / str(place) / "trial.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "attempts": number + 2}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COPYCAT_CACHE"] = str(Path(folder) / "cache")
        root = Path(folder) / "sweep"
        make(root, asked.folders)
        time.sleep(3)  # what was written just now is not remembered
        first, _ = seconds(root, asked.folders)
        later, walks = zip(*(seconds(root, asked.folders) for _ in range(asked.rounds)), strict=True)
        changed = []
        for number in range(asked.rounds):
            change(root, asked.folders, number)
            time.sleep(3)
            changed.append(seconds(root, asked.folders)[0])
    again, walk = statistics.median(later), statistics.median(walks)
    said = f"read first in {first:.2f} s, later in {again:.2f} s, the ratio {first / again:.1f}"
    print(f"{asked.folders} folders: {said}")
    print(f"of a later read the stat walk takes {walk:.2f} s: {walk / again:.0%}")
    print(f"after a change of 1 %: {statistics.median(changed):.2f} s")
    return int(again >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
