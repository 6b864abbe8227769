"""Run sixteen trials by each launcher, and show where the time goes.

    python benchmarks/launchers.py

Hydra's basic launcher runs the trials one after the other in one process, hydra-joblib-launcher (pip install
'copycat-ml[benchmarks]') in joblib's workers, `processes` in Copycat's, and `packed` as one network; all of them with
Copycat's grid. They run in turn, as whole processes, on the drawn images. Prints for each the wall time (median over
the rounds), its ratio to the basic one, the share of the time before the first epoch of the first run, and the share
of the cores' time spent in training. The trials of a pack train together, so that this share can exceed 100 %.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import machine

LAUNCHERS: Mapping[str, Sequence[str]] = {
    "basic": (),
    "joblib": ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={os.cpu_count()}"),
    "processes": ("hydra/launcher=processes",),
    "packed": ("hydra/launcher=packed",),
}
JOB = ("model=shallow", "trainer.threads=1", "logger=none")


def run_sweep(launcher: str, *, trials: int, epochs: int, at: Path) -> tuple[float, float, float]:
    """Return the seconds of wall time, of those before the first run began, and of training, summed over the runs."""
    sweep = at / f"{launcher}{time.monotonic_ns()}"
    words = [*JOB, f"trainer.max_epochs={epochs}", f"seed=range({trials})", *LAUNCHERS[launcher]]
    began, clock = datetime.now().astimezone(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "copycat", "train", "-m", *words, f"sweep.folder={sweep}"],
        cwd=at,
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - clock
    if done.returncode:
        sys.exit(done.stderr)
    runs = [json.loads((sweep / str(number) / "run.json").read_text()) for number in range(trials)]
    first = min(datetime.fromisoformat(run["started"]) for run in runs)
    return wall, (first - began).total_seconds(), sum(run["seconds"] for run in runs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.description())
    found: dict[str, list[tuple[float, float, float]]] = {launcher: [] for launcher in LAUNCHERS}
    with tempfile.TemporaryDirectory() as name:
        run_sweep("basic", trials=1, epochs=1, at=Path(name))  # reads packages and draws images, once
        for _ in range(options.rounds):
            for launcher, times in found.items():
                times.append(run_sweep(launcher, trials=options.trials, epochs=options.epochs, at=Path(name)))
    basic = statistics.median(wall for wall, _, _ in found["basic"])
    cores = os.cpu_count() or 1
    print(f"{options.trials} trials of {options.epochs} epochs on {cores} cores, median of {options.rounds}")
    for launcher, times in found.items():
        wall, start, trained = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{launcher:10} {wall:6.1f} s  {wall / basic:5.2f} × basic  start-up {start / wall:4.0%}"
            f"  cores training {trained / wall / cores:4.0%}"
        )


if __name__ == "__main__":
    main()
