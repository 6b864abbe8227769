"""Run whole processes in turn, compute the ratios of their figures, and compare these with limits."""

import fcntl
import os
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

Figure = TypeVar("Figure")
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes per unit of `ru_maxrss`."""

WINDOW = 40, 120
"""Rows and columns of a terminal."""
NOT_MET = "NOT MET"
"""Printed after a limit that was exceeded; benchmarks/write_docs.py looks for it."""


@dataclass(frozen=True)
class Process:
    """Hold what a whole process took."""

    wall: float
    """Seconds from its start to its end."""
    peak: int
    """Largest resident memory in bytes, of it or of a process that it started."""
    processor: float
    """CPU seconds of it and of processes that it started and waited for."""


def run_process(command: Sequence[str], *, at: Path, terminal: bool = False) -> Process:
    """Run a command to its end; one that fails ends the benchmark with its output.

    Args:
        command: program and arguments.
        at: working folder.
        terminal: whether output goes to a terminal, as most users start it; else to a file.
    """
    with (at / "output.txt").open("wb+") as output, open_terminal(output) if terminal else nullcontext(output) as to:
        start = time.perf_counter()
        kind = {"TERM": "xterm-256color"} if terminal else {}
        process = subprocess.Popen(command, cwd=at, stdout=to, stderr=to, env=os.environ | kind)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        text = (at / "output.txt").read_text(errors="replace")
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{text}")
    return Process(wall, used.ru_maxrss * MEMORY_UNIT, used.ru_utime + used.ru_stime)


@contextmanager
def open_terminal(output: IO[bytes]) -> Iterator[int]:
    """Yield a terminal whose whole output is written to a file."""
    terminal, inside = os.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", *WINDOW, 0, 0))

    def read() -> None:
        with suppress(OSError):  # raised once the other end is closed
            while data := os.read(terminal, 2**16):
                output.write(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield inside
    finally:
        os.close(inside)
        reader.join()
        os.close(terminal)


def alternate(sides: Mapping[str, Callable[[], Figure]], *, rounds: int) -> dict[str, list[Figure]]:
    """Run the sides in turn, A B A B …, and return each side's figure in each round."""
    figures: dict[str, list[Figure]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            figures[name].append(side())
    return figures


@dataclass(frozen=True)
class Ratio:
    """Hold the ratios of two sides round by round, so that a round that is slow as a whole does not count."""

    rounds: Sequence[float]

    @property
    def median(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        """Return the median and the range."""
        return f"{self.median:.3f} ({min(self.rounds):.3f} to {max(self.rounds):.3f})"


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Divide two sides' figures round by round."""
    return Ratio([a / b for a, b in zip(over, under, strict=True)])


@dataclass(frozen=True)
class Limit:
    """Hold a limit and what was measured."""

    name: str
    expected: str
    measured: str
    is_met: bool


def at_most(name: str, most: float, measured: Ratio) -> Limit:
    """Limit a ratio's median from above."""
    return Limit(name, f"at most {most:.2f}", str(measured), measured.median <= most)


def report_limits(limits: Sequence[Limit]) -> int:
    """Print each limit beside what was measured, and return the exit status."""
    print("limits and measured values (a ratio: median, and from the lowest round to the highest):")
    names, expected = (max(len(getattr(limit, field)) for limit in limits) for field in ("name", "expected"))
    for limit in limits:
        verdict = "met" if limit.is_met else NOT_MET
        print(f"  {limit.name:{names}}  {limit.expected:{expected}}  {limit.measured}  {verdict}")
    return int(not all(limit.is_met for limit in limits))
