"""Sweeps that benchmarks/packed.py compares as wholes: unlike networks, a grid of a CNN, and a thousand trials."""

import ctypes
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rounds import Limit, Ratio, alternate, ratio, run_process

SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER, by which worker processes that outlive their parent become our children."""
COMMON = ["data=cats", "trainer.check_val_every_n_epoch=10"]
SHAPES = [
    *("[8]", "[16]", "[32]", "[64]", "[128]", "[8,8]", "[16,8]", "[32,8]", "[64,16]", "[128,32]"),
    *("[8,8,8]", "[16,8,8]", "[32,16,8]", "[64,16,8]", "[128,64,32]"),
]
UNLIKE = [*COMMON, "model=deep", f"model.hidden={','.join(SHAPES)}"]
GRID = [
    *("data=cats", "model=cnn", "optimizer=adam", "optimizer.lr=1e-4,3e-4,1e-3,3e-3", "data.batch_size=16,32,64,null"),
    "augmentation=none,light",
]
PACKED, PROCESSES = "hydra/launcher=packed", "hydra/launcher=processes"


@dataclass(frozen=True)
class Comparison:
    """Describe two ways to train one sweep, the second of which is to be faster."""

    words: Sequence[str]
    slower: Sequence[str]
    faster: Sequence[str]
    epochs: int
    least: float
    """Least speed-up."""


COMPARISONS = {
    "unlike": Comparison([*UNLIKE, "optimizer=sgd"], [PROCESSES], [PACKED], 400, 3),
    "unlike-adam": Comparison([*UNLIKE, "optimizer=adam", "optimizer.lr=1e-3"], [PROCESSES], [PACKED], 400, 3),
    "cnn-grid": Comparison(GRID, [], [PACKED], 5, 2),
}
THOUSAND = "thousand"


@dataclass(frozen=True)
class Sweep:
    """Hold what a sweep took: seconds, processor seconds of all its processes, and the largest one's memory."""

    wall: float
    processor: float
    peak: int


def sweep(words: Sequence[str], *, at: Path) -> Sweep:
    """Train a sweep in a process of its own."""
    folder = at / f"sweep{len(list(at.iterdir()))}"
    command = [sys.executable, "-m", "copycat", "train", "-m", *words, f"sweep.folder={folder}"]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
    process = run_process(command, at=at)
    processor, peak = process.processor, process.peak
    while sys.platform == "linux":
        try:
            _, _, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        processor, peak = processor + used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss * 1024)
    return Sweep(process.wall, processor, peak)


def compare(part: str, *, rounds: int, epochs: int | None, at: Path) -> list[Limit]:
    """Train a sweep in both ways, in turn, and return the limit."""
    comparison = COMPARISONS[part]
    words = [*comparison.words, f"trainer.max_epochs={epochs or comparison.epochs}"]
    ways = {"slower": comparison.slower, "faster": comparison.faster}
    sides = {name: lambda more=more: sweep([*words, *more], at=at) for name, more in ways.items()}
    found = alternate(sides, rounds=rounds)
    print(f"{part}: {epochs or comparison.epochs} epochs a trial, median of {rounds}")
    for name, more in ways.items():
        wall, processor = (
            statistics.median(getattr(s, figure) for s in found[name]) for figure in ("wall", "processor")
        )
        way = more[0] if more else "one after the other"
        print(f"  {way:26} {wall:7.1f} s, processor time {processor:7.1f} s")
    faster = ratio(*([s.wall for s in found[name]] for name in ways))
    processor_ratio = ratio(*([s.processor for s in found[name]] for name in ways))
    print(f"  processor time: {processor_ratio} times less")
    kept = faster.median >= comparison.least
    return [Limit(f"{part} as packs", f"at least {comparison.least:.0f} times faster", f"{faster} times", kept)]


def compare_thousand(*, rounds: int, epochs: int | None, at: Path) -> list[Limit]:
    """Train 256 and 1,000 trials, and return the limits of time and memory a trial."""
    words = ["experiment=lecture", f"trainer.max_epochs={epochs or 20}", "trainer.check_val_every_n_epoch=10", PACKED]
    sides = {count: lambda count=count: sweep([*words, f"seed=range({count})"], at=at) for count in (256, 1000)}
    found = alternate({str(count): side for count, side in sides.items()}, rounds=rounds)
    time = Ratio([b.wall / 1000 / (a.wall / 256) for a, b in zip(found["256"], found["1000"], strict=True)])
    memory = Ratio([b.peak / a.peak for a, b in zip(found["256"], found["1000"], strict=True)])
    for count, sweeps in found.items():
        wall, peak = statistics.median(s.wall for s in sweeps), statistics.median(s.peak for s in sweeps)
        print(f"  {count:>4} trials  {wall:.1f} s, {1000 * wall / int(count):.1f} ms a trial, {peak / 1e6:.0f} MB")
    return [
        Limit("a trial of 1000 ÷ of 256, time", "at most 1.05", str(time), time.median <= 1.05),
        Limit("1000 ÷ 256, memory", "at most 2", str(memory), memory.median <= 2),
    ]
