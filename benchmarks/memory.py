"""Memory that a run takes at most, beside the bare loop: python benchmarks/memory.py [--epochs 301] [--rounds 5]

The lecture's run by Copycat and by loop.py --bare, in turn and as whole processes: what was resident at most. Beside
them two processes that only import: torch, as the loop does, and torch with Lightning, as Copycat does; less these, a
reader sees what is the packages' and what is the run's. Ends with status 1 where Copycat takes more than 1.15 times
the bare loop's. COPYCAT_DATA names the folder of the cat data.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import alternate, at_most, concluded, play, ratio

MOST = 1.15
LOOP = Path(__file__).with_name("loop.py")
COPYCAT, BARE, TORCH, LIGHTNING = "Copycat", "bare loop", "import torch", "import torch, pytorch_lightning"


def peak(*words: str) -> float:
    """MiB that a process of Python's took at most."""
    with tempfile.TemporaryDirectory() as folder:
        return play([sys.executable, *words], at=Path(folder)).peak / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=301)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    data = str(Path(os.environ.get("COPYCAT_DATA", "data")).resolve())
    print(machine.description(), flush=True)
    run = ("-m", "copycat", "train", "experiment=lecture", f"trainer.max_epochs={asked.epochs}", f"data.root={data}")
    sides = {
        COPYCAT: partial(peak, *run),
        BARE: partial(peak, str(LOOP), "--bare", "--data", data, "--epochs", str(asked.epochs)),
        TORCH: partial(peak, "-c", TORCH),
        LIGHTNING: partial(peak, "-c", LIGHTNING),
    }
    found = alternate(sides, rounds=asked.rounds)
    middle = {name: median(peaks) for name, peaks in found.items()}
    print(f"the lecture, {asked.epochs} epochs: MiB resident at most, median of {asked.rounds} whole processes")
    for name, imported in ((COPYCAT, LIGHTNING), (BARE, TORCH)):
        beyond = middle[name] - middle[imported]
        print(
            f"  {name:9}  {middle[name]:6.1f}, of these {middle[imported]:6.1f} by {imported}, and {beyond:6.1f} beyond"
        )
    return concluded([at_most(f"{COPYCAT} ÷ {BARE}", MOST, ratio(found[COPYCAT], found[BARE]))])


if __name__ == "__main__":
    sys.exit(main())
