"""TPE against random search, at the same budget: COPYCAT_DATA=data/catvnoncat python benchmarks/search.py

Learning rate, width and activation of a network with one hidden layer, on the cat data: each search has 30 trials, and
each sampler five seeds of its own. What is searched for is the lowest val/loss of any epoch. Prints each seed's best
after 10, 20 and 30 trials, the means, and a paired difference with its deviation; nothing is hidden where random wins.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from itertools import accumulate
from pathlib import Path

JOB = (
    *("data=cats", "model=shallow", "trainer.threads=1", "trainer.max_epochs=200", "logger=none", "callbacks=none"),
    *("trainer.check_val_every_n_epoch=5", "optimizer=adam", "hydra/sweeper=optuna"),
    *("model.hidden.0=tag(log,int(interval(2,128)))", "optimizer.lr=tag(log,interval(1e-5,1))"),
    "activation=sigmoid,tanh,relu,gelu",
)


def search(sampler: str, seed: int, *, count: int, at: Path) -> list[float]:
    """The best so far after each trial; a trial that diverged gives nothing."""
    sweep = at / f"{sampler}{seed}"
    words = [f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.seed={seed}", f"hydra.sweeper.n_trials={count}"]
    command = [sys.executable, "-m", "copycat", "train", "-m", *JOB, *words, f"sweep.folder={sweep}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    records = [json.loads((sweep / str(number) / "trial.json").read_text()) for number in range(count)]
    values = [record["objectives"].get("val/loss", float("inf")) for record in records]
    return list(accumulate(values, min))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    places = [asked.trials // 3, 2 * asked.trials // 3, asked.trials]
    found: dict[str, list[list[float]]] = {"tpe": [], "random": []}
    print(f"lowest val/loss after {', '.join(map(str, places))} trials", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(asked.seeds):
            for sampler, curves in found.items():
                curves.append(search(sampler, seed, count=asked.trials, at=Path(name)))
                said = "  ".join(f"{curves[-1][place - 1]:.4f}" for place in places)
                print(f"seed {seed}  {sampler:6}  {said}", flush=True)
    for place in places:
        columns = [[curve[place - 1] for curve in curves] for curves in found.values()]
        differences = [tpe - other for tpe, other in zip(*columns, strict=True)]
        means = ", ".join(
            f"{sampler} {statistics.mean(column):.4f} ± {statistics.stdev(column):.4f}"
            for sampler, column in zip(found, columns, strict=True)
        )
        print(
            f"after {place}: {means}; tpe − random {statistics.mean(differences):+.4f} ±"
            f" {statistics.stdev(differences):.4f}, lower in {sum(d < 0 for d in differences)} of {asked.seeds}"
        )


if __name__ == "__main__":
    main()
