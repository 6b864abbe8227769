"""Compare runs that share the processors with one alone.

    COPYCAT_DATA=data/catvnoncat python benchmarks/concurrent_runs.py [--rounds 5] [--epochs 8]

Trains the small CNN alone, then twice at once, as whole processes with as many threads each as there are processors.
After each operation the threads of libgomp, PyTorch's OpenMP on Linux, wait for the next one by spinning, for
milliseconds, which takes a processor from the other run. Commands set `GOMP_SPINCOUNT=5000`; in a script of your own,
set it before you import torch. libgomp's default is 300000; a smaller count than 5000 makes two at once faster still,
and one alone slower. The exit status is 1 if two at once take more than 3 times as long as one.
"""

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import alternate, at_most, ratio, report_limits, run_process

MOST = 3.0
VARIABLE, DEFAULT = "GOMP_SPINCOUNT", "300000"
ALONE, BOTH = "one alone", "two at once"
ALONE_SPINNING, BOTH_SPINNING = (f"{name}, {VARIABLE}={DEFAULT}" for name in (ALONE, BOTH))


def train(runs: int, *, epochs: int) -> float:
    """Return the seconds until all of so many equal runs, started at once, have ended."""
    words = ["data=cats", "model=cnn", "optimizer=adam", "data.batch_size=32", f"trainer.max_epochs={epochs}"]
    command = [sys.executable, "-m", "copycat", "train", *words]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(runs) as pool:
        folders = [Path(name, str(number)) for number in range(runs)]
        for folder in folders:
            folder.mkdir()
        return max(process.wall for process in pool.map(lambda folder: run_process(command, at=folder), folders))


def train_spinning(runs: int, *, epochs: int) -> float:
    """Do as `train`, with libgomp's default."""
    os.environ[VARIABLE] = DEFAULT
    try:
        return train(runs, epochs=epochs)
    finally:
        del os.environ[VARIABLE]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    os.environ["COPYCAT_DATA"] = str(Path(os.environ.get("COPYCAT_DATA", "data")).absolute())
    os.environ.pop(VARIABLE, None)
    print(machine.description(), flush=True)

    sides = {
        ALONE: partial(train, 1, epochs=options.epochs),
        ALONE_SPINNING: partial(train_spinning, 1, epochs=options.epochs),
        BOTH: partial(train, 2, epochs=options.epochs),
        BOTH_SPINNING: partial(train_spinning, 2, epochs=options.epochs),
    }
    found = alternate(sides, rounds=options.rounds)
    print(f"the CNN, {options.epochs} epochs, whole processes, median of {options.rounds}")
    for name, seconds in found.items():
        print(f"  {name:34}  {median(seconds):6.1f} s")
    print(f"  {ALONE} ÷ {ALONE_SPINNING}  {ratio(found[ALONE], found[ALONE_SPINNING])}")
    print(f"  {BOTH_SPINNING} ÷ {ALONE_SPINNING}  {ratio(found[BOTH_SPINNING], found[ALONE_SPINNING])}")
    return report_limits([at_most(f"{BOTH} ÷ {ALONE}", MOST, ratio(found[BOTH], found[ALONE]))])


if __name__ == "__main__":
    sys.exit(main())
