"""Compare one run with the same loop written by hand, with its records and bare.

    COPYCAT_DATA=data/catvnoncat python benchmarks/one_run.py [--jobs lecture cnn] [--rounds 5] [--epochs 1000]

Trains each job with Copycat, with loop.py including the records of a run, and with loop.py reduced to the four steps,
in turn and as whole processes. The seconds are those of training with everything that it writes; Copycat's are those
of run.json, which end with the last record. A ratio is the median over the rounds; whole processes add imports and
reading the data. The losses of jobs without randomness must have the bits of the loop's. The exit status is 1 if a
limit is exceeded. With --yardstick, a script of your own replaces the bare loop of every job except those with an
augmentation and `validated`, whose bare loop validates each epoch as Copycat does by default: it must accept the
arguments of loop.py that choose the training, and --json.
"""

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import Limit, alternate, at_most, ratio, report_limits, run_process

LOOP = Path(__file__).with_name("loop.py")
COPYCAT, RECORDS, BARE = "Copycat", "loop with records", "bare loop"


@dataclass(frozen=True)
class Job:
    """Describe the same training in Copycat's words and in the loop's."""

    copycat: Sequence[str]
    loop: Sequence[str]
    epochs: int
    most: Mapping[str, float]
    """Largest ratio of Copycat's seconds to those of another side."""
    every: int = 100
    """Epochs between validations, and checkpoints."""
    plain: bool = True
    """Whether nothing is random after the initial weights: then losses equal the loop's, and a yardstick may run."""
    bare: Sequence[str] = ()
    """More words for the bare loop."""


ADAM = ("--optimizer", "Adam")
JOBS = {
    "lecture": Job(["experiment=lecture"], [], 8001, {RECORDS: 0.90, BARE: 1.10}),
    "validated": Job(["experiment=lecture"], [], 1001, {RECORDS: 1.00, BARE: 1.30}, every=1, bare=["--validate"]),
    "shallow": Job(
        ["data=cats", "model=shallow", "model.hidden=[13]", "optimizer=adam"],
        ["--hidden", "13", *ADAM],
        1001,
        {RECORDS: 1.00},
    ),
    "deep": Job(
        ["data=cats", "model=deep", "model.hidden=[20,7,5]", "optimizer=adam"],
        ["--hidden", "20", "7", "5", *ADAM],
        1001,
        {RECORDS: 1.00},
    ),
    "batches": Job(
        ["data=cats", "model=logistic", "data.batch_size=32", "data.shuffle=false", "optimizer=sgd"],
        ["--batch-size", "32"],
        2001,
        {RECORDS: 1.00},
    ),
    "cnn": Job(
        ["data=cats", "model=cnn", "augmentation=light", "data.batch_size=32", "data.shuffle=false", "optimizer=adam"],
        ["--model", "cnn", "--augment", "--batch-size", "32", *ADAM],
        101,
        {RECORDS: 1.03},
        every=10,
        plain=False,
    ),
    "cnn, shuffled": Job(
        ["data=cats", "model=cnn", "augmentation=light", "data.batch_size=32", "data.shuffle=true", "optimizer=adam"],
        ["--model", "cnn", "--augment", "--batch-size", "32", "--shuffle", *ADAM],
        101,
        {RECORDS: 1.03, BARE: 1.00},
        every=10,
        plain=False,
    ),
}


@dataclass(frozen=True)
class Trained:
    """Hold what a training took."""

    seconds: float
    """Seconds of the training, with all that it writes."""
    wall: float
    """Seconds of the whole process."""
    losses: Sequence[float]


def copycat(job: Job, *, epochs: int, at: Path) -> Trained:
    """Train a job by Copycat."""
    words = [*job.copycat, f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={job.every}"]
    with tempfile.TemporaryDirectory(dir=at) as folder:
        home = Path(folder)
        process = run_process([sys.executable, "-m", "copycat", "train", *words], at=home)
        (manifest,) = home.glob("outputs/*/*/*/run.json")
        with manifest.with_name("metrics.csv").open() as file:
            losses = [float(row["train/loss"]) for row in csv.DictReader(file)]
        return Trained(json.loads(manifest.read_text())["seconds"], process.wall, losses)


def loop(job: Job, *words: str, script: Path = LOOP, data: str, epochs: int, at: Path) -> Trained:
    """Train a job by a script with the words of loop.py."""
    command = [sys.executable, str(script), "--data", data, *job.loop, "--epochs", str(epochs), "--json", "result.json"]
    with tempfile.TemporaryDirectory(dir=at) as folder:
        process = run_process([*command, *words], at=Path(folder))
        result = json.loads(Path(folder, "result.json").read_text())
        return Trained(result["seconds"], process.wall, result["losses"])


def measure(name: str, *, rounds: int, epochs: int, data: str, yardstick: Path | None) -> list[Limit]:
    """Print what a job took on each side, and return its limits."""
    job = JOBS[name]
    own = yardstick if job.plain and not job.bare else None
    bare = () if own else ("--bare", *job.bare)
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        sides = {
            COPYCAT: partial(copycat, job, epochs=epochs, at=at),
            RECORDS: partial(loop, job, "--every", str(job.every), data=data, epochs=epochs, at=at),
            BARE: partial(loop, job, *bare, script=own or LOOP, data=data, epochs=epochs, at=at),
        }
        for side in sides.values():  # reads the packages and the data from disk, once
            side(epochs=1)
        found = alternate(sides, rounds=rounds)
    stands_in = f"; the bare loop is {own.name}" if own else ""
    print(f"{name}: {epochs} epochs, validation and checkpoints every {job.every}, median of {rounds}{stands_in}")
    for side, trained in found.items():
        seconds, wall = median(t.seconds for t in trained), median(t.wall for t in trained)
        print(f"  {side:17}  {seconds:8.3f} s, the whole process {wall:8.3f} s")
    limits = []
    for side in (RECORDS, BARE):
        seconds = ratio([t.seconds for t in found[COPYCAT]], [t.seconds for t in found[side]])
        whole = ratio([t.wall for t in found[COPYCAT]], [t.wall for t in found[side]])
        print(f"  Copycat ÷ {side:17}  seconds {seconds}, whole processes {whole}")
        if side in job.most:
            limits.append(at_most(f"{name}: Copycat ÷ {side}", job.most[side], seconds))
    if job.plain:
        same = all(t.losses == found[BARE][0].losses for trained in found.values() for t in trained)
        outcome = f"{epochs} epochs, {'the same' if same else 'OTHERS'} in all sides and rounds"
        limits.append(Limit(f"{name}: losses", "the loop's bits", outcome, same))
    sys.stdout.flush()
    return limits


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of each job, in place of its own; the limits are for its own")
    parser.add_argument("--yardstick", type=Path, help="a script to run in place of loop.py --bare")
    options = parser.parse_args()
    data = str(Path(os.environ.get("COPYCAT_DATA", "data")).resolve())
    yardstick = options.yardstick.resolve() if options.yardstick else None
    print(machine.description(), flush=True)
    limits: list[Limit] = []
    for name in options.jobs:
        epochs = options.epochs or JOBS[name].epochs
        limits += measure(name, rounds=options.rounds, epochs=epochs, data=data, yardstick=yardstick)
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
