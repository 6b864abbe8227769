"""What it costs to look at a run: python benchmarks/inspection.py [--rounds 7] [--epochs N]

The lecture's run and the CNN with augmentation, as in one_run.py: with the callbacks that look at a run by default,
without them, and with all but the profiler and the plots, in turn and as whole processes. The seconds are run.json's,
from before the first step to the last record; what is written before and after training is in them. Ends with status 1
where the default ones add more than 3 % to the lecture's or 5 % to the CNN's. COPYCAT_DATA names the folder of the
cat data.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import machine
from one_run import JOBS, Job, Trained, copycat
from rounds import Asked, alternate, at_most, concluded, ratio

LOOK = ("statistics", "texts", "fed", "weights", "judged", "mistakes")
DEFAULT, WITHOUT, MORE = "the default ones", "without", "with histograms and maps"
WORDS = {
    DEFAULT: (),
    WITHOUT: tuple(f"callbacks.{name}=null" for name in LOOK),
    MORE: ("callbacks=[default,histograms,activations,embeddings,saliency]",),
}
MOST = {"lecture": 1.03, "cnn": 1.05}
EPOCHS = {"lecture": JOBS["lecture"].epochs, "cnn": 41}
"""Of the CNN fewer than in one_run.py, so that there is time for more rounds: they differ by a quarter."""


def measure(name: str, *, rounds: int, epochs: int) -> Asked:
    with tempfile.TemporaryDirectory() as folder:
        jobs: dict[str, Job] = {
            side: replace(JOBS[name], copycat=[*JOBS[name].copycat, *words]) for side, words in WORDS.items()
        }
        sides = {side: partial(copycat, job, epochs=epochs, at=Path(folder)) for side, job in jobs.items()}
        for side in sides.values():  # reads the packages and the data from disk, once
            side(epochs=1)
        found: dict[str, list[Trained]] = alternate(sides, rounds=rounds)
    print(f"{name}: {epochs} epochs, median of {rounds}")
    for side, trained in found.items():
        seconds = ratio([t.seconds for t in trained], [t.seconds for t in found[WITHOUT]])
        whole = ratio([t.wall for t in trained], [t.wall for t in found[WITHOUT]])
        print(f"  {side:24}  {median(t.seconds for t in trained):7.3f} s")
        if side != WITHOUT:
            print(f"  {'':24}  ÷ {WITHOUT}: seconds {seconds}, whole processes {whole}")
    sys.stdout.flush()
    cost = ratio([t.seconds for t in found[DEFAULT]], [t.seconds for t in found[WITHOUT]])
    return at_most(f"{name}: default ÷ {WITHOUT}", MOST[name], cost)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, help="of each job, in place of its own; the limits are for its own")
    asked = parser.parse_args()
    print(machine.description(), flush=True)
    return concluded(
        [measure(name, rounds=asked.rounds, epochs=asked.epochs or EPOCHS[name]) for name in ("lecture", "cnn")]
    )


if __name__ == "__main__":
    sys.exit(main())
