"""Measure an epoch with Copycat and with its peers.

    python benchmarks/peers.py --setup
    python benchmarks/peers.py [JOB …] [--epochs 300] [--rounds 5]

Trains the lecture's logistic regression by hand, with each peer's code in peers/ (in an environment of its own, from
its pins) and with Copycat, in turn, as whole processes, with the default number of threads. Each job reports the time
of its fit. It runs for 101 epochs, whose last loss is the lecture's of epoch 100, and again for --epochs more; the
time per epoch is the difference of the two fits divided by --epochs, so that costs per run (start-up, compiling)
cancel out. Prints the medians over the rounds; the exit status is 1 if a loss is not the lecture's. COPYCAT_DATA names
the folder of the cat data. Arguments choose jobs: python benchmarks/peers.py skorch copycat
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
CODE = HERE / "peers"
ENVIRONMENTS = HERE.parent / ".venv-peers"
FIRST = 101  # epochs of the short run; they count from 0
LECTURE, NEAR = 0.592499, 1e-4  # its loss at epoch 100, and how far one may be from it
SHOWN = ("torch", "pytorch-lightning", "hydra-core", "torchmetrics", "tensorboard")  # versions that are printed


@dataclass(frozen=True)
class Job:
    """Describe how a job is started."""

    words: Sequence[str]
    """After `python`; {} is the count of epochs."""
    environment: str | None = None
    """None: the Python that runs this."""
    variables: Mapping[str, str] = field(default_factory=dict)
    floor: str = "by-hand"
    """The job whose epochs its own are compared with."""


@dataclass(frozen=True)
class Result:
    """Hold what a process reported."""

    seconds: float
    """Seconds of the fit, as the job reports them."""
    loss: float
    versions: Mapping[str, str]
    wall: float = 0.0
    """Seconds of the whole process."""


def script(name: str, *words: str, **how: Any) -> Job:
    """Return a job that runs a script of peers/."""
    return Job((str(CODE / name), *(words or ("--epochs={}",))), **how)


COPYCAT = ("-m", "copycat", "train", "experiment=lecture", "trainer.max_epochs={}")
JOBS: Mapping[str, Job] = {
    "by-hand": script("by_hand.py"),
    "by-hand-100": script("by_hand.py", "--epochs={}", "--check-every=100", floor="by-hand-100"),
    "lightning": script("lightning_defaults.py", environment="lightning"),
    "lightning-hydra": script("lightning_hydra/train.py", "trainer.max_epochs={}", environment="lightning-hydra"),
    "keras-jax": script("keras_job.py", environment="keras", variables={"KERAS_BACKEND": "jax"}),
    "keras-torch": script("keras_job.py", environment="keras", variables={"KERAS_BACKEND": "torch"}),
    "skorch": script("skorch_job.py", environment="skorch"),
    "copycat": Job((*COPYCAT, "trainer.check_val_every_n_epoch=1")),
    "copycat-100": Job(COPYCAT, floor="by-hand-100"),  # the lecture's own form: it validates at every 100th epoch
}


def pins(environment: str) -> Path:
    """Return the requirements file of an environment."""
    return CODE / f"requirements-{environment}.txt"


def is_ready(environment: str, at: Path) -> bool:
    """Return whether the environment was made completely from its present pins."""
    made = at / environment / "pins.txt"
    return made.is_file() and made.read_bytes() == pins(environment).read_bytes()


def make(environment: str, at: Path) -> None:
    """Make an environment from its pins, by the Python that runs this."""
    folder = at / environment
    print(f"{environment}: {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [python(environment, at), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", pins(environment)], check=True)
    (folder / "pins.txt").write_bytes(pins(environment).read_bytes())


def python(environment: str | None, at: Path) -> str:
    """Return the interpreter of an environment."""
    if environment is None:
        return sys.executable
    return str(at / environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def run_job(job: Job, *, epochs: int, data: Path, environments: Path) -> Result:
    """Run a job in an empty folder."""
    variables = os.environ | {"COPYCAT_DATA": str(data)} | job.variables
    if job.environment:
        variables.pop("PYTHONPATH", None)  # Copycat's Hydra plugins are none of a peer's
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        done = subprocess.run(
            [python(job.environment, environments), *(word.format(epochs) for word in job.words)],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - clock
        if done.returncode:
            sys.exit(f"{' '.join(job.words)}\n{done.stderr}")
        if job.words[0] == "-m":
            return Result(**read_result(Path(folder)), wall=wall)
        return Result(**json.loads(done.stdout.splitlines()[-1]), wall=wall)


def read_result(folder: Path) -> dict[str, Any]:
    """Return what Copycat recorded of its run; its seconds include the final evaluation."""
    (run,) = folder.glob("outputs/*/*/*/run.json")
    manifest = json.loads(run.read_text())
    with run.with_name("metrics.csv").open() as file:
        loss = float(list(csv.DictReader(file))[-1]["train/loss"])
    packages = manifest["provenance"]["environment"]["packages"]
    versions = {"copycat": manifest["provenance"]["code"]["version"], **{name: packages[name] for name in SHOWN}}
    return {"seconds": manifest["seconds"], "loss": loss, "versions": versions}


def main() -> int:
    """Make environments, or measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"{', '.join(JOBS)}; without words, all")
    parser.add_argument("--setup", action="store_true", help="make their environments (about 1.2 GB each), run nothing")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    options = parser.parse_args()
    if unknown := set(options.jobs) - set(JOBS):
        parser.error(f"expected some of {', '.join(JOBS)}; got {', '.join(sorted(unknown))}")
    environments, chosen = options.environments.resolve(), options.jobs or list(JOBS)

    if options.setup:
        for environment in dict.fromkeys(JOBS[name].environment for name in chosen):
            if environment and not is_ready(environment, environments):
                make(environment, environments)
        return 0

    missing = [name for name in chosen if (e := JOBS[name].environment) and not is_ready(e, environments)]
    if missing:
        where = [] if environments == ENVIRONMENTS else ["--environments", str(environments)]
        words = " ".join(["--setup", *where, *missing])
        print(f"left out, not set up: python benchmarks/peers.py {words}", file=sys.stderr)
    chosen = [name for name in chosen if name not in missing]
    if not chosen:
        return 1
    floors = {JOBS[name].floor for name in chosen}
    data = Path(os.environ.get("COPYCAT_DATA", "data")).resolve()
    found = measure(
        [name for name in JOBS if name in floors.union(chosen)],
        epochs=options.epochs,
        rounds=options.rounds,
        data=data,
        environments=environments,
    )
    return print_table(found, epochs=options.epochs)


def measure(
    jobs: Sequence[str], *, epochs: int, rounds: int, data: Path, environments: Path
) -> dict[str, list[tuple[Result, Result]]]:
    """Return the short and the long run of each job in each round."""
    for name in jobs:  # reads the data and the packages from disk, once
        run_job(JOBS[name], epochs=1, data=data, environments=environments)
    found: dict[str, list[tuple[Result, Result]]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name, pairs in found.items():
            short, long = (
                run_job(JOBS[name], epochs=count, data=data, environments=environments)
                for count in (FIRST, FIRST + epochs)
            )
            pairs.append((short, long))
            print(f"round {number}: {name} {long.seconds - short.seconds:.2f} s", file=sys.stderr, flush=True)
    return found


def print_table(found: Mapping[str, Sequence[tuple[Result, Result]]], *, epochs: int) -> int:
    """Print the table and return the exit status."""
    each = {name: [(b.seconds - a.seconds) / epochs * 1e3 for a, b in pairs] for name, pairs in found.items()}
    rounds = len(next(iter(each.values())))
    print(machine.description())
    print(f"ms an epoch: (fit of {FIRST + epochs} epochs − fit of {FIRST}) / {epochs}; medians of {rounds} rounds")
    head = ("job", "ms", "from to", "× by hand", f"s, {FIRST + epochs} epochs", "loss, epoch 100", "last loss")
    print(f"{head[0]:16}{head[1]:>8}{head[2]:>16}{head[3]:>11}{head[4]:>16}{head[5]:>17}{head[6]:>11}")
    wrong = []
    for name, times in each.items():
        short, long = found[name][-1]
        ratio = statistics.median(a / b for a, b in zip(times, each[JOBS[name].floor], strict=True))
        wall = statistics.median(pair[1].wall for pair in found[name])
        spread = f"{min(times):.2f} {max(times):.2f}"
        median = statistics.median(times)
        print(f"{name:16}{median:8.2f}{spread:>16}{ratio:11.2f}{wall:16.1f}{short.loss:17.6f}{long.loss:11.6f}")
        wrong += [name] if abs(short.loss - LECTURE) > NEAR else []
    for name in found:
        print(f"{name}: {', '.join(' '.join(pair) for pair in found[name][-1][1].versions.items())}")
    if wrong:
        print(f"expected the lecture's loss at epoch 100, {LECTURE}; got another: {', '.join(wrong)}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
