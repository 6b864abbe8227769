"""What a rerun costs beside the run: python benchmarks/rerun.py [--epochs 8001] [--rounds 3]

Trains the lecture and reruns it, in turn and as whole processes, and prints the median of the pairs' ratios, and the
ratio of the two shortest times, which a busy machine disturbs least. Ends with status 1 where the median is above 1.03.
COPYCAT_DATA names the folder of the cat data.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST = 1.03


def seconds(*words: str, at: Path) -> float:
    """How long a command takes, from its start to its end.

    Raises:
        subprocess.CalledProcessError: where it fails: a rerun that differs counts for nothing.
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "copycat", *words], cwd=at, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8001)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--experiment", default="lecture")
    asked = parser.parse_args()
    runs, reruns = [], []
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        words = (f"experiment={asked.experiment}", f"trainer.max_epochs={asked.epochs}")
        seconds("train", *words, "trainer.max_epochs=1", at=at)  # reads the data and the packages from disk, once
        for _ in range(asked.rounds):
            before = set(at.glob("outputs/*/*/*"))
            runs.append(seconds("train", *words, at=at))
            (made,) = set(at.glob("outputs/*/*/*")) - before
            reruns.append(seconds("rerun", str(made), at=at))
            print(f"run {runs[-1]:.2f} s, rerun {reruns[-1]:.2f} s", flush=True)
    ratio = statistics.median(again / first for first, again in zip(runs, reruns, strict=True))
    print(f"{asked.experiment}, {asked.epochs} epochs, {asked.rounds} pairs of whole processes")
    print(f"a rerun takes {ratio:.3f} times its run, the median of the pairs; at most {MOST} asked")
    print(f"shortest {min(reruns):.2f} s against {min(runs):.2f} s: {min(reruns) / min(runs):.3f}")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
