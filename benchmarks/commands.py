"""Measure how long commands take that only look at runs.

    python benchmarks/commands.py [--folders 10000] [--rounds 5]

Runs in turn, as whole processes, after a round that does not count: importing torch; `copycat predict RUN` on one
image; and `copycat report RUN`, of a run of 30 epochs that it trains first. Then `copycat runs` on a sweep of 10,000
trials (those of index.py) which its index has, with its table in a file as behind a pipe, with `--best`, and on an
empty folder, which is the start of Python and the imports alone. Then `copycat board RUN`, and TensorBoard itself on
the same event files, each from its start until it has served its first page. A ratio is that of the processor times,
user and system, as other work on the machine changes these least; the wall times stand beside them. Seconds are medians
of the processor time of whole processes. The exit status is 1 if a limit is exceeded.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import index
import machine
from PIL import Image
from rounds import Limit, Process, alternate, at_most, ratio, report_limits, run_process

COPYCAT = (sys.executable, "-m", "copycat")
TORCH, PREDICT, REPORT = "import torch", "predict RUN one.jpg", "report RUN"
TABLE, BEST, EMPTY = "runs SWEEP", "runs SWEEP --best", "runs EMPTY"
BOARD, TENSORBOARD = "board RUN", "TensorBoard itself"
RATIOS = {PREDICT: 1.3, REPORT: 2.0}
"""Largest processor time of commands, in imports of torch."""
RUNS_SECONDS, BOARD_SECONDS = 0.3, 0.3
"""Largest seconds that the whole process of `runs` takes, and those that `board` takes beyond TensorBoard itself."""
PATIENCE_SECONDS = 60.0


def train(at: Path) -> Path:
    """Train a run with all that a report shows, and return its folder."""
    run_process([*COPYCAT, "train", "trainer.max_epochs=30"], at=at)
    (manifest,) = at.glob("outputs/*/*/*/run.json")
    return manifest.parent


def start_processes(run: Path, *, rounds: int, at: Path) -> dict[str, list[Process]]:
    """Measure the commands that import torch, and its import."""
    Image.effect_noise((64, 64), 64).convert("RGB").save(at / "one.jpg")
    commands = {
        TORCH: [sys.executable, "-c", TORCH],
        PREDICT: [*COPYCAT, "predict", str(run), "one.jpg"],
        REPORT: [*COPYCAT, "report", str(run)],
    }
    return measure(commands, rounds=rounds, at=at)


def measure(commands: dict[str, Sequence[str]], *, rounds: int, at: Path) -> dict[str, list[Process]]:
    """Run commands in turn, after a round that does not count: it reads the packages from disk."""
    found = alternate({name: partial(run_process, words, at=at) for name, words in commands.items()}, rounds=rounds + 1)
    return {name: processes[1:] for name, processes in found.items()}


def list_runs(folders: int, *, rounds: int, at: Path) -> dict[str, list[Process]]:
    """Measure the table of a large sweep whose index is written, and that of an empty folder."""
    sweep, empty = at / "sweep", at / "empty"
    empty.mkdir()
    index.make(sweep, folders)
    time.sleep(3)  # what was written just now is not remembered
    run_process([*COPYCAT, "runs", str(sweep)], at=at)
    words = {TABLE: [str(sweep)], BEST: [str(sweep), "--best"], EMPTY: [str(empty)]}
    return measure({name: [*COPYCAT, "runs", *given] for name, given in words.items()}, rounds=rounds, at=at)


def start_server(words: Sequence[str], *, at: Path) -> Process:
    """Measure a server from its start until it has served its first page; then end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began, quiet = time.perf_counter(), subprocess.DEVNULL
    server = subprocess.Popen([*words, "--port", str(port)], cwd=at, stdout=quiet, stderr=quiet)
    try:
        while not has_page(port):
            if server.poll() is not None or time.perf_counter() > began + PATIENCE_SECONDS:
                sys.exit(f"{' '.join(words)} served no page")
            time.sleep(0.005)
        wall = time.perf_counter() - began
    finally:
        server.terminate()  # a shell in the background has its commands ignore SIGINT
        _, status, used = os.wait4(server.pid, 0)
        server.returncode = os.waitstatus_to_exitcode(status)
    return Process(wall, used.ru_maxrss, used.ru_utime + used.ru_stime)


def has_page(port: int) -> bool:
    """Return whether a server answers with a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_SECONDS) as page:
            return bool(page.read())
    except OSError:
        return False


def serve_boards(run: Path, *, rounds: int, at: Path) -> dict[str, list[Process]]:
    """Measure both servers in turn, after a round that does not count."""
    tensorboard = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run / "tensorboard")]
    sides = {
        TENSORBOARD: partial(start_server, [*tensorboard, "--host", "127.0.0.1"], at=at),
        BOARD: partial(start_server, [*COPYCAT, "board", str(run), "--no-browser"], at=at),
    }
    return {name: found[1:] for name, found in alternate(sides, rounds=rounds + 1).items()}


def seconds_at_most(name: str, most: float, measured: float) -> Limit:
    """Limit seconds from above."""
    return Limit(name, f"at most {most:.2f} s", f"{measured:.2f} s", measured <= most)


def print_processes(found: dict[str, list[Process]]) -> None:
    """Print the medians of each command."""
    for name, processes in found.items():
        wall, processor = median(one.wall for one in processes), median(one.processor for one in processes)
        print(f"{name:22} {processor:6.2f} s of processor time, {wall:6.2f} s", flush=True)


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    limits = []
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        os.environ["COPYCAT_CACHE"] = str(at / "cache")
        run = train(at)
        started = start_processes(run, rounds=options.rounds, at=at)
        print_processes(started)
        processor = {name: [one.processor for one in processes] for name, processes in started.items()}
        wall = {name: [one.wall for one in processes] for name, processes in started.items()}
        for command, most in RATIOS.items():
            print(f"{command} ÷ {TORCH}, wall time: {ratio(wall[command], wall[TORCH])}")
            limits.append(at_most(f"{command} ÷ {TORCH}", most, ratio(processor[command], processor[TORCH])))
        boards = serve_boards(run, rounds=options.rounds, at=at)
        print_processes(boards)
        pairs = zip(boards[BOARD], boards[TENSORBOARD], strict=True)
        beyond = median(ours.processor - theirs.processor for ours, theirs in pairs)
        limits.append(seconds_at_most(f"{BOARD} − {TENSORBOARD}", BOARD_SECONDS, beyond))
        listed = list_runs(options.folders, rounds=options.rounds, at=at)
        print_processes(listed)
        for command in (TABLE, BEST):
            took = median(one.processor for one in listed[command])
            limits.append(seconds_at_most(f"{command}, {options.folders} trials", RUNS_SECONDS, took))
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
