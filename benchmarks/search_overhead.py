"""Measure what a search adds to each trial's training, and whether that grows with the trials.

    python benchmarks/search_overhead.py [--trials 500] [--rounds 1]

Searches learning rate and momentum of a network with one weight by Optuna's TPE (`hydra/sweeper=optuna`), on 16 images
of one pixel, with the default callbacks and loggers, in one process. A callback in a package beside it records when
each trial's training starts and ends. The overhead of a trial is the time from the end of one trial's training to the
start of the next one's: the records of the one, the sampler's proposal, and the start of the other. Limits are on the
processor time of the process; the wall time stands beside it. The exit status is 1 if the median over all trials
exceeds 60 ms, or if the median of the last hundred exceeds 1.2 times that of the first hundred.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import machine
from overhead import FILES, WORDS
from rounds import Limit, Ratio, at_most, report_limits, run_process

CLOCK = '''
import time

import pytorch_lightning as pl


class Clock(pl.Callback):
    """Writes down the time and the processor time at which training starts and ends."""

    def _write(self, event):
        with open("times.txt", "a") as file:
            file.write(f"{event} {time.time()!r} {time.process_time()!r}\\n")

    def on_train_start(self, trainer, pl_module):
        self._write("start")

    def on_train_end(self, trainer, pl_module):
        self._write("end")
'''
SEARCH = (
    *(word for word in WORDS if "check_val" not in word),
    "trainer.max_epochs=1",
    "+callbacks.clock._target_=tiny.clock.Clock",
    "hydra/sweeper=optuna",
    "optimizer.lr=tag(log,interval(1e-4,1))",
    "optimizer.momentum=interval(0,0.9)",
)
LIMIT_MS, GROWTH, MANY = 60, 1.2, 100


@dataclass(frozen=True)
class Overheads:
    """Hold the milliseconds between trials, in the order of the trials."""

    wall: Sequence[float]
    processor: Sequence[float]

    def growth(self, milliseconds: Sequence[float]) -> float:
        """Return the median of the last hundred divided by that of the first hundred."""
        return median(milliseconds[-MANY:]) / median(milliseconds[:MANY])


def search(trials: int) -> Overheads:
    """Run a search in a new folder, and return its overheads."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**FILES, "tiny/clock.py": CLOCK}.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        words = ["train", "-m", *SEARCH, f"hydra.sweeper.n_trials={trials}"]
        run_process([sys.executable, "-m", "copycat", *words], at=Path(folder))
        events = [line.split() for line in Path(folder, "times.txt").read_text().splitlines()]
    gaps = [
        (1000 * (float(after[1]) - float(before[1])), 1000 * (float(after[2]) - float(before[2])))
        for before, after in pairwise(events)
        if before[0] == "end"
    ]
    assert len(gaps) == trials - 1, "each trial's training starts and ends once"
    return Overheads(*zip(*gaps, strict=True))


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    rounds = []
    for _ in range(options.rounds):
        rounds.append(one := search(options.trials))
        for name, gaps in (("processor time", one.processor), ("wall time", one.wall)):
            first, last = median(gaps[:MANY]), median(gaps[-MANY:])
            print(
                f"{options.trials} trials, {name} between two: {median(gaps):.1f} ms; the first {MANY} {first:.1f},"
                f" the last {MANY} {last:.1f}, the largest {max(gaps):.0f}",
                flush=True,
            )
    overhead = median(median(one.processor) for one in rounds)
    growth = Ratio([one.growth(one.processor) for one in rounds])
    limits = [
        Limit("overhead of a trial", f"at most {LIMIT_MS} ms", f"{overhead:.1f} ms", overhead <= LIMIT_MS),
        at_most(f"last {MANY} ÷ first {MANY}", GROWTH, growth),
    ]
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
