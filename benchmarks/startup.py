"""Measure how long a user waits before training starts, beside the imports that it needs.

    python benchmarks/startup.py

Measures in turn, as whole processes, after a round that does not count: importing torch; importing torch and
pytorch_lightning; `copycat --help`; wrong overrides; and `copycat train` up to its first training step, whose time a
callback in a package beside it records. Then it measures a sweep of eight trials in one process: from the end of one
trial's training to the start of the next one's, by the same callback, so that the end of one and the start of the
other count together. Prints the medians over the rounds, their ratios to both imports, and the limits; the exit status
is 1 if a limit is exceeded.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import machine

CLOCK = '''
import time

import pytorch_lightning as pl


class Clock(pl.Callback):
    """Writes down when training starts, when its first step does, and when it ends."""

    def __init__(self) -> None:
        self.stepped = False

    def _write(self, what):
        now = time.time()
        with open("times.txt", "a") as file:
            file.write(f"{what} {now!r}\\n")

    def on_train_start(self, trainer, pl_module):
        self._write("start")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if not self.stepped:
            self.stepped = True
            self._write("step")

    def on_train_end(self, trainer, pl_module):
        self._write("end")
'''
COPYCAT = (sys.executable, "-m", "copycat")
TORCH, BOTH = "import torch", "import torch, pytorch_lightning"
WITH_CLOCK = ("trainer.max_epochs=1", "+callbacks.clock._target_=clock.Clock")
HELP, STEP = "--help", "train, to its first step"
MISTAKES = (
    ("train", "optimizer=adma"),
    ("train", "optimizer.lr=banana"),
    ("train", "optimzer=adam"),
    ("train", "-m", "seed=1,2", "optimizer=sgd,adma"),
    ("train", "-m", "seed=range(1000)", "optimizer.lr=0.1,banana"),
)
AROUND = 60
"""Largest time between the training of two trials of a sweep, in milliseconds."""


def limits() -> Mapping[str, tuple[str, float]]:
    """Return for each command the import that it is compared with, and the largest ratio."""
    wrong = {" ".join(words): (TORCH, 1.0) for words in MISTAKES}
    return {HELP: (TORCH, 0.15), **wrong, STEP: (BOTH, 0.80)}


def command(name: str) -> Sequence[str]:
    """Return the words of a measured command."""
    if name.startswith("import"):
        return (sys.executable, "-c", f"{name}; import time; print(time.time())")  # what it takes to end is not counted
    if name == STEP:
        return (*COPYCAT, "train", *WITH_CLOCK)
    return (*COPYCAT, *next((words for words in MISTAKES if " ".join(words) == name), [name]))


def seconds(name: str, *, at: Path) -> float:
    """Return the seconds of a whole command; of `train` until its first step, and of an import until it is done."""
    times = at / "times.txt"
    times.unlink(missing_ok=True)
    began = time.time()
    printed = run(command(name), at=at, status=2 if name.startswith("train ") else 0)
    ended = time.time()
    if name.startswith("import"):
        ended = float(printed)
    elif name == STEP:
        ended = dict(read_events(times))["step"]
    return ended - began


def run(words: Sequence[str], *, at: Path, status: int = 0) -> str:
    """Run a command that must end with `status`, and return its output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(at), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(words, cwd=at, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != status:
        sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def read_events(times: Path) -> list[tuple[str, float]]:
    """Return the events and times that the callback wrote."""
    lines = (line.split() for line in times.read_text().splitlines())
    return [(what, float(when)) for what, when in lines]


def between_trials(words: Sequence[str], *, trials: int, at: Path) -> float:
    """Return the median of the milliseconds between the training of one trial and of the next."""
    times = at / "times.txt"
    times.unlink(missing_ok=True)
    run((*COPYCAT, "train", "-m", f"seed=range({trials})", *WITH_CLOCK, *words), at=at)
    events = [(what, when) for what, when in read_events(times) if what != "step"]
    gaps = [after - when for (what, when), (_, after) in pairwise(events) if what == "end"]
    assert len(gaps) == trials - 1, "each trial's training starts and ends once"
    return 1000 * statistics.median(gaps)


def main() -> None:
    """Measure, print, and exit with 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("words", nargs="*", default=["data=cats"], help="of the sweep: data=cats unless given")
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in (TORCH, BOTH, *limits())}
    gaps: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        (at / "clock.py").write_text(CLOCK)
        for number in range(options.rounds + 1):
            times = {command: seconds(command, at=at) for command in found}
            gap = between_trials(options.words, trials=options.trials, at=at)
            if number:  # the first reads the packages from disk
                gaps.append(gap)
                for command, value in times.items():
                    found[command].append(value)
    print(machine.description())
    print(f"{'':58} seconds  × torch  × both   limit")
    medians = {command: statistics.median(values) for command, values in found.items()}
    beyond = False
    for command, median in medians.items():
        ratios = {by: median / medians[by] for by in (TORCH, BOTH)}
        by, limit = limits().get(command, ("", 0.0))
        beyond |= bool(by) and ratios[by] > limit
        shown = f"{limit:.2f} × {'both' if by == BOTH else 'torch'}" if by else ""
        print(f"{command:58} {median:7.2f}  {ratios[TORCH]:7.2f}  {ratios[BOTH]:6.2f}   {shown}")
    gap = statistics.median(gaps)
    print(f"around the training of trials 2 to {options.trials} of a sweep: {gap:.0f} ms, of at most {AROUND}")
    sys.exit(beyond or gap > AROUND)


if __name__ == "__main__":
    main()
