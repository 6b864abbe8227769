"""Whole processes in turn, the ratios of their figures, and what was asked beside what was measured."""

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
"""Bytes, of what the system says a process took at most."""

WINDOW = 40, 120
"""Rows and columns of a terminal."""


@dataclass(frozen=True)
class Process:
    """What a whole process took."""

    wall: float
    """Seconds from its start to its end."""
    peak: int
    """Bytes of memory that were resident at most, in it or in a process that it started."""
    processor: float
    """Seconds of the processor, of it and of processes that it started and waited for."""


def play(command: Sequence[str], *, at: Path, terminal: bool = False) -> Process:
    """Run a command in that folder, to its end; one that fails ends the benchmark with what it said.

    Args:
        terminal: what it says goes to one, as most users start it; else to a file.
    """
    with (at / "output.txt").open("wb+") as output, shown(output) if terminal else nullcontext(output) as to:
        began = time.perf_counter()
        kind = {"TERM": "xterm-256color"} if terminal else {}
        process = subprocess.Popen(command, cwd=at, stdout=to, stderr=to, env=os.environ | kind)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = (at / "output.txt").read_text(errors="replace")
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{said}")
    return Process(wall, used.ru_maxrss * MEMORY_UNIT, used.ru_utime + used.ru_stime)


@contextmanager
def shown(output: IO[bytes]) -> Iterator[int]:
    """A terminal, whose whole output is written there."""
    terminal, inside = os.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", *WINDOW, 0, 0))

    def read() -> None:
        with suppress(OSError):  # nobody writes to it any more
            while said := os.read(terminal, 2**16):
                output.write(said)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield inside
    finally:
        os.close(inside)
        reader.join()
        os.close(terminal)


def alternate(sides: Mapping[str, Callable[[], Figure]], *, rounds: int) -> dict[str, list[Figure]]:
    """A B A B …: what each gave in each round."""
    found: dict[str, list[Figure]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return found


@dataclass(frozen=True)
class Ratio:
    """Of two sides that ran in turn: round by round, so that what slows a whole round down does not count."""

    rounds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{self.median:.3f} ({min(self.rounds):.3f} to {max(self.rounds):.3f})"


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    return Ratio([a / b for a, b in zip(over, under, strict=True)])


@dataclass(frozen=True)
class Asked:
    """A figure that was asked for, and what was measured of it."""

    name: str
    asked: str
    measured: str
    kept: bool


def at_most(name: str, most: float, measured: Ratio) -> Asked:
    return Asked(name, f"at most {most:.2f}", str(measured), measured.median <= most)


def concluded(limits: Sequence[Asked]) -> int:
    """Print the last lines of a benchmark: what was asked beside what was measured. Its exit status."""
    print("asked, and measured (a ratio: median, and from the lowest round to the highest):")
    names, asked = (max(len(getattr(limit, field)) for limit in limits) for field in ("name", "request"))
    for limit in limits:
        verdict = "kept" if limit.kept else "NOT KEPT"
        print(f"  {limit.name:{names}}  {limit.asked:{asked}}  {limit.measured}  {verdict}")
    return int(not all(limit.kept for limit in limits))
