"""Measure a run on two ranks beside the same run in one process, and one process beside an earlier commit.

    python benchmarks/ranks.py [--rounds 5] [--only epoch start step difference] [--before FOLDER]

Four parts, each of runs in turn on the CPU:

- epoch: a small convolutional network on images of 64×64 pixels, in 2 ranks with 1 thread each, and in 1 process with 2
  threads; its processor time also beside 1 process with 1 thread, as threads that wait for a busy core spin. A callback
  notes the time at each start of an epoch; the first epoch does not count.
- start: seconds from the words to the first step, of `copycat train trainer=ddp trainer.devices=2` and of one process.
- step: processor time of a training step of one process, now and in the working tree FOLDER, an earlier commit's
  (`git worktree add FOLDER COMMIT`); without --before it is left out. The network has one weight, so that the step is
  overhead alone, at many steps at once and at single ones.
- difference: the largest relative difference of any metric of any epoch of 2 ranks from one process, in float32.

The wall times need two idle cores. The processor time of an epoch is that of all ranks together; that of the start is
of the launching process and the slower rank, which come one after the other. The exit status is 1 if a limit is
exceeded.
"""

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import machine
import overhead
from rounds import Limit, alternate, at_most, ratio, report_limits, run_process

DATA = '''
import torch

from copycat.data.split import Part, digest


class Noise:
    """Show noise, brighter in one of two classes."""

    classes = ("dark", "bright")
    synthetic = True

    def __init__(self, train: int) -> None:
        self.train = train

    def load(self) -> dict[str, Part]:
        return {"train": part("train", self.train), "val": part("val", 64)}


def part(name: str, count: int) -> Part:
    labels = (torch.arange(count) % 2).long()
    noise = torch.randint(0, 200, (count, 3, 64, 64), generator=torch.Generator().manual_seed(count))
    images = (noise + 50 * labels.view(count, 1, 1, 1)).to(torch.uint8)
    names = [f"{name}[{place}]" for place in range(count)]
    return Part(images=images, labels=labels, names=names, digests=[digest(image) for image in images])
'''
CLOCK = '''
import os
import time

import pytorch_lightning as pl


def note(what: str) -> None:
    """Write down an event with its wall time, and the processor times of this process and of the launching one."""
    launcher = 0.0
    if "TORCHELASTIC_RUN_ID" in os.environ:
        with open(f"/proc/{os.getppid()}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        launcher = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    with open(f"times.{os.environ.get('RANK', 0)}.txt", "a") as file:
        file.write(f"{what} {time.time()!r} {time.process_time()!r} {launcher!r}\\n")


class EpochClock(pl.Callback):
    """Note the start of each epoch, and the start and the end of training."""

    def supports_multi_step(self) -> bool:
        return True

    def on_train_start(self, *_) -> None:
        note("start")

    def on_train_epoch_start(self, *_) -> None:
        note("epoch")

    def on_train_end(self, *_) -> None:
        note("end")


class StepClock(pl.Callback):
    """Note the first step."""

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == 0:
            note("step")
'''
FILES = {
    **overhead.FILES,
    "tiny/noise.py": DATA,
    "tiny/clock.py": CLOCK,
    "conf/data/noise.yaml": "_target_: tiny.noise.Noise\ntrain: 320\n",
}
TRAIN = ("-m", "copycat", "train", "trainer.accelerator=cpu")
ONE = ("trainer.threads=2",)
TWO = ("trainer=ddp", "trainer.devices=2", "trainer.threads=1")
EPOCH_CLOCK, STEP_CLOCK = (f"+callbacks.clock._target_=tiny.clock.{name}Clock" for name in ("Epoch", "Step"))
CNN = ("model=cnn", "model.dropout=0.0", "data=noise")
EPOCH_RATIO, START_RATIO, STEP_RATIO, ROUNDING = 1.25, 1.5, 1.01, 1e-6
FIRST_EPOCHS = 3
"""Epochs of at least 20 steps together, of 7 each."""
Times = list[tuple[str, float, float, float]]
"""Events of one rank: name, wall time, processor time of its process and of the launching one."""


@contextmanager
def folder_of_user(at: Path) -> Iterator[Path]:
    """Make a folder with a package and ./conf, as a user has it."""
    with tempfile.TemporaryDirectory(dir=at) as name:
        for file, text in FILES.items():
            path = Path(name, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        yield Path(name)


def read_times(folder: Path) -> list[Times]:
    """Return what each rank noted."""
    ranks: list[Times] = []
    for file in sorted(folder.glob("times.*.txt")):
        lines = (line.split() for line in file.read_text().splitlines())
        ranks.append([(what, float(wall), float(own), float(launcher)) for what, wall, own, launcher in lines])
    return ranks


def measure_epoch(words: Sequence[str], *, at: Path) -> tuple[float, float]:
    """Return wall and processor seconds of an epoch, medians of one run's."""
    with folder_of_user(at) as folder:
        run_process([sys.executable, *TRAIN, *words, EPOCH_CLOCK], at=folder)
        ranks = [[times for times in rank if times[0] == "epoch"][1:] for rank in read_times(folder)]
    walls = [after[1] - before[1] for before, after in pairwise(ranks[0])]
    processor = [sum(rank[place + 1][2] - rank[place][2] for rank in ranks) for place in range(len(walls))]
    return median(walls), median(processor)


def measure_start(words: Sequence[str], *, at: Path) -> tuple[float, float]:
    """Return wall seconds until all ranks take the first step, and processor seconds on the way there."""
    with folder_of_user(at) as folder:
        began = [sys.executable, "-c", f"import os, sys, time; open('began', 'w').write(repr(time.time()));{EXECUTE}"]
        run_process([*began, *TRAIN, "trainer.max_epochs=1", *words, STEP_CLOCK], at=folder)
        start = float((folder / "began").read_text())
        steps = [rank[0] for rank in read_times(folder)]
    return max(wall for _, wall, _, _ in steps) - start, max(own + launcher for _, _, own, launcher in steps)


EXECUTE = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


def measure_step(words: Sequence[str], *, steps: int, source: Path | None, at: Path) -> float:
    """Return the processor microseconds of a step of one process, with Copycat's source from a working tree."""
    path = os.pathsep.join(filter(None, [str(source / "src") if source else "", os.environ.get("PYTHONPATH", "")]))
    with folder_of_user(at) as folder:
        run_process([sys.executable, "-c", f"import os, sys; os.environ['PYTHONPATH'] = {path!r};{EXECUTE}",
                     *TRAIN, "trainer.threads=1", *words, EPOCH_CLOCK], at=folder)  # fmt: skip
        times = {what: own for what, _, own, _ in read_times(folder)[0] if what != "epoch"}
    return (times["end"] - times["start"]) / steps * 1e6


def read_rows(words: Sequence[str], *, at: Path) -> list[dict[str, float]]:
    """Return the metrics of each epoch of a run."""
    with folder_of_user(at) as folder:
        run_process([sys.executable, *TRAIN, *words], at=folder)
        (metrics,) = folder.glob("outputs/**/metrics.csv")
        with metrics.open(newline="") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def largest_difference(one: Sequence[Mapping[str, float]], two: Sequence[Mapping[str, float]]) -> float:
    """Return the largest relative difference of a metric."""
    pairs = [(row[name], other[name]) for row, other in zip(one, two, strict=True) for name in row]
    return max(abs(a - b) / max(abs(a), abs(b), 1e-300) for a, b in pairs)


def compare_epochs(rounds: int, at: Path, _: argparse.Namespace) -> list[Limit]:
    """Compare the time of an epoch; its processor time also with that of one thread, which waits for no other."""
    limits = []
    for size in (32, 64):
        words = (*CNN, f"data.batch_size={size}", "trainer.max_epochs=7", "callbacks=none", "logger=none")
        sides = {
            name: partial(measure_epoch, (*words, *how), at=at)
            for name, how in (("1", ONE), ("2", TWO), ("thread", ("trainer.threads=1",)))
        }
        found = alternate(sides, rounds=rounds)
        limits += report_two(f"CNN epoch, batches of {size}: 2 ranks ÷ 1 process", found, EPOCH_RATIO)
        alone, two = ([processor for _, processor in found[side]] for side in ("thread", "2"))
        name = f"CNN epoch, batches of {size}: 2 ranks ÷ 1 process of 1 thread, processor"
        print(
            f"{name}: {median(two):.3f} s ÷ {median(alone):.3f} s; least {min(two):.3f} ÷ {min(alone):.3f}", flush=True
        )
        limits.append(at_most(name, EPOCH_RATIO, ratio(two, alone)))
    return limits


def compare_starts(rounds: int, at: Path, _: argparse.Namespace) -> list[Limit]:
    """Compare the time from the words to the first step."""
    sides = {name: partial(measure_start, how, at=at) for name, how in (("1", ()), ("2", TWO[:2]))}
    return report_two("words to first step: 2 ranks ÷ 1 process", alternate(sides, rounds=rounds), START_RATIO)


def report_two(name: str, found: Mapping[str, Sequence[tuple[float, float]]], most: float) -> list[Limit]:
    """Print the medians and minima of wall and processor seconds, and limit the ratio of the walls."""
    limits = []
    for place, kind in enumerate(("wall", "processor")):
        one, two = ([figures[place] for figures in found[side]] for side in ("1", "2"))
        print(f"{name}, {kind}: {median(two):.3f} s ÷ {median(one):.3f} s; least {min(two):.3f} ÷ {min(one):.3f}")
        limits.append(at_most(f"{name}, {kind}", most, ratio(two, one)))
    sys.stdout.flush()
    return limits


def compare_steps(rounds: int, at: Path, options: argparse.Namespace) -> list[Limit]:
    """Compare the processor time of a step with that of an earlier commit."""
    if options.before is None:
        print("step: left out, as there is no --before")
        return []
    limits = []
    for kind, words, epochs in (
        ("many at once", (), 5000),
        ("one by one", ("trainer.steps_per_execution=1",), 600),
    ):
        words = (*overhead.WORDS, "data.batch_size=2", f"trainer.max_epochs={epochs}", *words)
        sides = {
            name: partial(measure_step, words, steps=8 * epochs, source=source, at=at)
            for name, source in (("now", None), ("before", options.before.resolve()))
        }
        found = alternate(sides, rounds=rounds)
        now, before = found["now"], found["before"]
        name = f"step, {kind}: now ÷ before, processor"
        print(
            f"{name}: {median(now):.1f} µs ÷ {median(before):.1f} µs; least {min(now):.1f} ÷ {min(before):.1f}",
            flush=True,
        )
        limits.append(at_most(name, STEP_RATIO, ratio(now, before)))
    return limits


def compare_metrics(_: int, at: Path, __: argparse.Namespace) -> list[Limit]:
    """Compare metrics of two ranks with those of one process, in float32."""
    words = ("data=noise", "data.train=200", "data.batch_size=32", "callbacks=none", "logger=none")
    found = {
        model: [
            read_rows((*words, f"trainer.max_epochs={epochs}", *network, *how), at=at)
            for how in (("trainer.threads=1",), TWO)
        ]
        for model, network, epochs in (("logistic", ("model=logistic",), 40), ("cnn", CNN, 8))
    }
    logistic, whole = (largest_difference(*found[model]) for model in ("logistic", "cnn"))
    first = largest_difference(*(rows[:FIRST_EPOCHS] for rows in found["cnn"]))
    print(f"CNN, 8 epochs of 7 steps, float32: largest relative difference {whole:.1e}", flush=True)
    names = ("logistic, 40 epochs, float32: largest difference", "CNN, 21 steps, float32: largest difference")
    return [
        Limit(name, f"at most {ROUNDING:g}", f"{value:.1e}", value <= ROUNDING)
        for name, value in zip(names, (logistic, first), strict=True)
    ]


PARTS: Mapping[str, Callable[[int, Path, argparse.Namespace], list[Limit]]] = {
    "epoch": compare_epochs,
    "start": compare_starts,
    "step": compare_steps,
    "difference": compare_metrics,
}


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="working tree of an earlier commit")
    options = parser.parse_args()
    print(machine.description(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        measure_start((), at=at)  # reads the packages from disk, once
        limits = [limit for part in options.only for limit in PARTS[part](options.rounds, at, options)]
    return report_limits(limits) if limits else 0


if __name__ == "__main__":
    sys.exit(main())
