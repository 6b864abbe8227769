"""Kills a real search at random instants, goes on with it until it is done, and looks for what is lost or done twice.

    COPYCAT_DATA=data/catvnoncat python benchmarks/sweep_kills.py --kills 10

Forty trials by TPE, pruned by the median, on the cat data; SIGKILL to the whole process group each time, then the same
command with the same folder. Afterwards the trials' folders, the study and the table must say the same of each number.
With one trial at a time (--launcher basic), each must also have proposed, and given, what it does in a search that
nobody killed. Prints a line a kill; exits 1 where something is amiss.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

JOB = (
    *("data=cats", "model=shallow", "trainer.threads=1", "trainer.max_epochs=300", "logger=none"),
    *("trainer.check_val_every_n_epoch=10", "callbacks.last.every_seconds=0.2"),
    *("model.hidden.0=tag(log,int(interval(4,64)))", "optimizer.lr=tag(log,interval(1e-3,1))"),
    *("activation=sigmoid,tanh,relu", "hydra/sweeper=optuna", "hydra/sweeper/pruner=median"),
    *("hydra.sweeper.pruner.n_warmup_steps=50",),
)
START = 5.0
"""Seconds that a process takes before its first trial, about."""


def command(folder: Path, asked: argparse.Namespace) -> list[str]:
    return [
        *(sys.executable, "-m", "copycat", "train", "-m", *JOB, f"hydra/launcher={asked.launcher}"),
        *(f"hydra.sweeper.n_trials={asked.trials}", f"sweep.folder={folder}"),
    ]


def ended(words: list[str], *, at: Path, seconds: float | None) -> bool:
    """Run it, and kill it with all its processes after so many seconds; whether it came to its own end."""
    with (at / "output.txt").open("a") as output:
        process = subprocess.Popen(words, cwd=at, stdout=output, stderr=output, start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    if status:
        sys.exit(f"ended with {status}:\n{(at / 'output.txt').read_text()}")
    return True


def trials(sweep: Path) -> dict[int, dict[str, Any]]:
    found = {int(file.parent.name): json.loads(file.read_text()) for file in sweep.glob("*/trial.json")}
    return dict(sorted(found.items()))


def states(sweep: Path) -> dict[int, str]:
    storage = JournalStorage(JournalFileBackend(str(sweep / "study.journal")))
    study = optuna.load_study(study_name=None, storage=storage).get_trials(deepcopy=False)
    names = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "failed"}
    return {trial.number: names.get(trial.state.name, "running") for trial in study}


def amiss(sweep: Path, count: int) -> Iterator[str]:
    """What is lost, there twice, or said otherwise by folders, study and table."""
    found = trials(sweep)
    if list(found) != list(range(count)):
        yield f"numbers: {list(found)}"
    said = {number: trial["status"] for number, trial in found.items()}
    if left := [number for number, status in said.items() if status not in ("completed", "pruned")]:
        yield f"not done: {left}"
    if states(sweep) != said:
        yield "the study and the folders differ"
    for number in found:
        epochs = [line.partition(",")[0] for line in (sweep / str(number) / "metrics.csv").read_text().splitlines()[1:]]
        if epochs != [str(epoch) for epoch in range(len(epochs))]:
            yield f"trial {number}: epochs lost or recorded twice"
    table = json.loads(subprocess.check_output([sys.executable, "-m", "copycat", "runs", str(sweep), "--json"]))
    shown = {row["trial"]: (row["status"], row["val/loss"]) for row in table["runs"]}
    if shown != {number: (trial["status"], trial["objectives"]["val/loss"]) for number, trial in found.items()}:
        yield "the table and the folders differ"


def results(sweep: Path) -> list[tuple[Any, ...]]:
    return [(trial["values"], trial["status"], trial["objectives"]) for trial in trials(sweep).values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--launcher", choices=["basic", "processes"], default="basic")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance, kills = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        began = time.monotonic()
        ended(command(home / "alone", asked), at=home, seconds=None)
        took = time.monotonic() - began
        print(f"alone: {took:.0f} s, {dict(Counter(t['status'] for t in trials(home / 'alone').values()))}", flush=True)
        killed = home / "killed"
        while kills < asked.kills:
            # of what is left, an equal part for each kill that is left, on average
            share = (took - START) * (asked.trials - len(trials(killed))) / asked.trials / (asked.kills - kills + 1)
            if ended(command(killed, asked), at=home, seconds=START + chance.uniform(0, 2 * share)):
                break
            kills += 1
            print(f"kill {kills}: {dict(Counter(t['status'] for t in trials(killed).values()))}", flush=True)
        ended(command(killed, asked), at=home, seconds=None)
        problems = list(amiss(killed, asked.trials))
        same = results(killed) == results(home / "alone")
        if asked.launcher == "basic" and not same:
            problems.append("other values than in a search that nobody killed")
    print(f"{kills} kills, {asked.trials} trials: {'; '.join(problems) or 'none lost, none twice'}")
    print(f"values and objectives: {'the same' if same else 'others'} as in a search that nobody killed")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
