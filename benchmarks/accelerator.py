"""Check that runs, reruns, resumed runs and packs are exact on an accelerator.

    python benchmarks/accelerator.py

Trains jobs on what `--accelerator` names, each several times: alone, rerun, with its steps one by one, stopped by
Ctrl-C and resumed; then four trials as one pack, again as one, and stopped and resumed. Weights must have the same bits
each time. A pack must agree with its trials alone, and losses with the CPU's, to 1e-5 relative over 100 epochs; where
there are convolutions, to 1e-3, as GPUs reckon them in TensorFloat-32. A run that diverges must say so.
Nothing is timed: the jobs run side by side where there are cores for that. Ends with status 1 where one is not kept.
COPYCAT_DATA names the folder of the cat data.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import machine
from rounds import Limit, report_limits

CPU, STEPS = "trainer.accelerator=cpu", "trainer.steps_per_execution=1"
JOBS = {
    "logistic": ["experiment=lecture", "trainer.max_epochs=2000", "optimizer.lr=1e-3"],
    "deep": ["data=cats", "model=deep", "optimizer=adamw", "loss.class_weights=[1.0,2.0]", "trainer.max_epochs=300"],
    "cnn": [
        *("data=cats", "model=cnn", "optimizer=sgd", "optimizer.lr=0.01", "data.batch_size=32", "data.shuffle=true"),
        *("augmentation=light", "scheduler=cosine", "trainer.accumulate_grad_batches=2", "trainer.max_epochs=30"),
    ],
    "mixed": [
        *("data=cats", "model=cnn", "model.batch_norm=true", "optimizer=adam", "data.batch_size=32"),
        *("data.shuffle=true", "augmentation=mixup", "augmentation/base=randaugment", "loss=cross_entropy"),
        *("callbacks=[default,ema]", "trainer.max_epochs=30"),
    ],
    "features": ["experiment=transfer"],
}
PACKED = ("logistic", "deep", "cnn")
"""Jobs that can be packed."""
COMPARED = 100
"""Number of epochs whose losses are compared."""
SWEEP = "seed=range(4)"
PATIENCE, INTERRUPTED = 300, 130


class FailedError(Exception):
    """Report a command that ended otherwise than it should, with its output."""


def copycat(*words: str, at: Path, stops: bool = False) -> None:
    """Run a command to its end, or until rows were written and Ctrl-C came."""
    is_stopped = False
    with (at / "output.txt").open("w+") as output:
        process = subprocess.Popen([sys.executable, "-m", "copycat", *words], cwd=at, stdout=output, stderr=output)
        until = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            if stops and any(file.stat().st_size > 2000 for file in at.rglob("metrics.csv")):
                process.send_signal(signal.SIGINT)
                stops, is_stopped = False, True
        if process.returncode is None:
            process.kill()
        output.seek(0)
        text = output.read()
    if stops or process.returncode not in (0, INTERRUPTED if is_stopped else 0):
        raise FailedError(f"copycat {' '.join(words)}\nended with {process.returncode}:\n{text}")


class Job:
    """Train one job in many ways and compare the results.

    Args:
        name: of the job.
        words: overrides that say what is trained, and on what.
        at: an empty folder.
    """

    def __init__(self, name: str, words: Sequence[str], at: Path) -> None:
        """Store the settings; nothing is trained."""
        self.name, self.words, self.at = name, [*words, "trainer.check_val_every_n_epoch=10"], at
        self.tolerance = 1e-3 if name == "cnn" else 1e-5
        """Relative difference of losses."""

    def run(self, *more: str, stops: bool = False) -> Path:
        """Train a new run and return its folder."""
        at = self._make_folder()
        copycat("train", *self.words, *more, at=at, stops=stops)
        (found,) = at.glob("outputs/*/*/*/run.json")
        return found.parent

    def sweep(self, *more: str, stops: bool = False) -> Path:
        """Train a new sweep of seeds and return its folder."""
        at = self._make_folder()
        words = [*self.words, SWEEP, f"sweep.folder={at}/sweep", *more]
        copycat("train", "-m", *words, at=at, stops=stops)
        return at / "sweep"

    def _make_folder(self) -> Path:
        at = self.at / str(len(list(self.at.iterdir())))
        at.mkdir()
        return at

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield each check's name, and a function that returns the difference, empty where there is none."""
        alone = self.run()
        yield "a rerun", partial(self._rerun, alone)
        yield "steps one by one", lambda: differing_digests(alone, self.run(STEPS))
        yield "stopped and resumed", lambda: differing_digests(alone, self._resumed(self.run))
        if self.name not in PACKED:
            return
        if self.name == "deep":
            yield "a loss that is no number", self._check_divergence
        packed = partial(self.sweep, "hydra/launcher=packed")
        pack = packed()
        yield "a pack again", lambda: differing_digests(pack, packed())
        yield "a pack stopped and resumed", lambda: differing_digests(pack, self._resumed(packed))
        yield f"a pack and its trials alone, to {self.tolerance}", lambda: self._compare_losses(pack, self.sweep())
        yield f"losses and the CPU's, to {self.tolerance}", lambda: self._compare_losses(alone, self.run(CPU))

    def _compare_losses(self, one: Path, other: Path) -> str:
        """Return the largest relative difference of losses where it is too large, else nothing."""
        most = 0.0
        for a, b in zip(runs(one), runs(other), strict=True):
            most = max(most, *(abs(x - y) / abs(y) for x, y in zip(losses(a), losses(b), strict=True)))
        return f"{most:.1e}" if most > self.tolerance else ""

    def _rerun(self, folder: Path) -> str:
        copycat("rerun", str(folder), at=self._make_folder())
        return ""

    def _check_divergence(self) -> str:
        try:
            self.run("optimizer.lr=1e5")
        except FailedError as failure:
            return "" if "the loss of epoch" in str(failure) else "failed otherwise"
        return "it did not"

    def _resumed(self, make: Callable[..., Path]) -> Path:
        folder = make(stops=True)
        copycat("resume", str(folder), at=self._make_folder())
        return folder

    def check(self) -> list[Limit]:
        """Make all checks and return their results."""
        limits, name, checks = list[Limit](), "a run", self.checks()
        while True:
            try:
                name, compare = next(checks)
                difference = compare()
            except StopIteration:
                return limits
            except FailedError as failure:  # raised between two checks, it leaves none
                print(f"{self.name}: {failure}", file=sys.stderr, flush=True)
                difference = "failed"
            limits.append(Limit(f"{self.name}: {name}", "the same", difference or "the same", not difference))


def runs(folder: Path) -> list[Path]:
    """Return the run folders below a folder, in order."""
    return sorted(file.parent for file in folder.rglob("run.json"))


def read_results(folder: Path) -> dict[str, Any]:
    """Return the results in a run's manifest."""
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found["results"]  # type: ignore[no-any-return]


def differing_digests(one: Path, other: Path) -> str:
    """Return the digests that differ, of a run or of all trials of a sweep."""
    names, pairs = ("history_digest", "weights_digest"), zip(runs(one), runs(other), strict=True)
    different = [name for a, b in pairs for name in names if read_results(a)[name] != read_results(b)[name]]
    return f"{len(different)} digests differ" if different else ""


def losses(folder: Path) -> list[float]:
    """Return the training losses of the first epochs."""
    with (folder / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)][:COMPARED]


def main() -> int:
    """Check every job; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accelerator", default="gpu")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    options = parser.parse_args()
    os.environ["COPYCAT_DATA"] = str(Path(os.environ.get("COPYCAT_DATA", "data")).absolute())
    print(machine.description())
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 4)) as pool:
        jobs = []
        for job in options.jobs:
            (at := Path(name) / job).mkdir()
            jobs.append(Job(job, [*JOBS[job], f"trainer.accelerator={options.accelerator}"], at))
        limits = [limit for of_job in pool.map(Job.check, jobs) for limit in of_job]
        device = recorded_device(Path(name))
    print(f"on {device}")
    return report_limits(limits)


def recorded_device(folder: Path) -> str:
    """Return the accelerators that the first run recorded."""
    provenance = json.loads((runs(folder)[0] / "run.json").read_text())["provenance"]
    return ", ".join(provenance["environment"]["accelerator"]["found"]) or "the CPU"


if __name__ == "__main__":
    sys.exit(main())
