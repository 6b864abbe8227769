"""Measure a run's peak memory beside the bare loop's.

    python benchmarks/memory.py [--epochs 301] [--rounds 5]

Measures the peak resident memory of the lecture's run by Copycat and by loop.py --bare, in turn and as whole
processes. Two more processes only import: torch, as the loop does, and torch with Lightning, as Copycat does. The
differences show how much is due to the packages, and how much to the run. The exit status is 1 if Copycat needs more
than 1.05 times the memory of the bare loop. COPYCAT_DATA names the folder of the cat data.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import alternate, at_most, ratio, report_limits, run_process

MOST = 1.05
LOOP = Path(__file__).with_name("loop.py")
COPYCAT, BARE, TORCH, LIGHTNING = "Copycat", "bare loop", "import torch", "import torch, pytorch_lightning"


def peak(*words: str) -> float:
    """Return the peak memory of a Python process, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        return run_process([sys.executable, *words], at=Path(folder)).peak / 2**20


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=301)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = str(Path(os.environ.get("COPYCAT_DATA", "data")).resolve())
    print(machine.description(), flush=True)
    run = ("-m", "copycat", "train", "experiment=lecture", f"trainer.max_epochs={options.epochs}", f"data.root={data}")
    sides = {
        COPYCAT: partial(peak, *run),
        BARE: partial(peak, str(LOOP), "--bare", "--data", data, "--epochs", str(options.epochs)),
        TORCH: partial(peak, "-c", TORCH),
        LIGHTNING: partial(peak, "-c", LIGHTNING),
    }
    found = alternate(sides, rounds=options.rounds)
    middle = {name: median(peaks) for name, peaks in found.items()}
    print(f"the lecture, {options.epochs} epochs: MiB resident at most, median of {options.rounds} whole processes")
    for name, imported in ((COPYCAT, LIGHTNING), (BARE, TORCH)):
        beyond = middle[name] - middle[imported]
        print(
            f"  {name:9}  {middle[name]:6.1f}, of these {middle[imported]:6.1f} by {imported}, and {beyond:6.1f} beyond"
        )
    return report_limits([at_most(f"{COPYCAT} ÷ {BARE}", MOST, ratio(found[COPYCAT], found[BARE]))])


if __name__ == "__main__":
    sys.exit(main())
