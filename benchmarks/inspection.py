"""Measure what the inspection callbacks cost.

    python benchmarks/inspection.py [--rounds 11] [--epochs N]

Trains the lecture's run, and the CNN with augmentation for 41 epochs, with and without the default callbacks that
inspect a run, in turn and as whole processes. The seconds are those of run.json, from before the first step to the
last record. Single runs differ by a tenth on a shared machine; therefore one more run measures the time inside the
hooks of the callbacks, and another one that of `callbacks=full` without the plots. The exit status is 1 if the default
callbacks add more than 3 % to the lecture's run or 5 % to the CNN's. COPYCAT_DATA names the folder of the cat data.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import machine
from one_run import JOBS, Trained, copycat
from rounds import Limit, alternate, at_most, ratio, report_limits, run_process

LOOK = ("statistics", "texts", "input_images", "weights", "confusion", "mistakes")
DEFAULT, WITHOUT = "with the default ones", "without"
WORDS = {DEFAULT: (), WITHOUT: tuple(f"callbacks.{name}=null" for name in LOOK)}
MORE = ("callbacks=[default,histograms,activations,embeddings,saliency]",)
MOST = {"lecture": 1.03, "cnn": 1.05}
EPOCHS = {"lecture": JOBS["lecture"].epochs, "cnn": 41}
CLOCK = """
import atexit, functools, json, time
import pytorch_lightning as pl
from copycat.inspection.callbacks.inspector import Inspector, Measurer

HOOKS = ("on_run_start", "on_run_end", "before_last_step", "on_train_start", "on_train_epoch_end", "measures")
took = [0.0]


def clocked(hook):
    @functools.wraps(hook)
    def call(*given, **named):
        began = time.perf_counter()
        try:
            return hook(*given, **named)
        finally:
            took[0] += time.perf_counter() - began
    return call


class Clock(pl.Callback):
    def __init__(self):
        waiting = [Inspector]
        while waiting:
            kind = waiting.pop()
            waiting += kind.__subclasses__()
            for name in HOOKS:
                if name in vars(kind):
                    setattr(kind, name, clocked(vars(kind)[name]))
        atexit.register(lambda: open("took.json", "w").write(json.dumps(took)))
"""


def time_hooks(words: Sequence[str], *, epochs: int, every: int) -> tuple[float, float]:
    """Return the seconds in the hooks of inspection callbacks, and those of the run."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "clock.py").write_text(CLOCK)
        more = [f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={every}"]
        clock = "+callbacks.clock._target_=clock.Clock"
        run_process([sys.executable, "-m", "copycat", "train", *words, *more, clock], at=at)
        (manifest,) = at.glob("outputs/*/*/*/run.json")
        (took,) = json.loads((at / "took.json").read_text())
        return took, json.loads(manifest.read_text())["seconds"]


def measure(name: str, *, rounds: int, epochs: int) -> Limit:
    """Measure one job with and without the default callbacks, and return its limit."""
    job = JOBS[name]
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            side: partial(copycat, replace(job, copycat=[*job.copycat, *words]), epochs=epochs, at=Path(folder))
            for side, words in WORDS.items()
        }
        for side in sides.values():  # reads the packages and the data from disk, once
            side(epochs=1)
        found: dict[str, list[Trained]] = alternate(sides, rounds=rounds)
    print(f"{name}: {epochs} epochs, median of {rounds}")
    for side, trained in found.items():
        seconds, wall = median(t.seconds for t in trained), median(t.wall for t in trained)
        print(f"  {side:22}  {seconds:7.3f} s, the whole process {wall:7.3f} s")
    for side, words in ((DEFAULT, ()), ("with all but plots", MORE)):
        took, whole = time_hooks([*job.copycat, *words], epochs=epochs, every=job.every)
        print(f"  {side:22}  {took:7.3f} s in their own hooks, {took / whole:.1%} of a run")
    sys.stdout.flush()
    cost = ratio([t.seconds for t in found[DEFAULT]], [t.seconds for t in found[WITHOUT]])
    return at_most(f"{name}: with ÷ without", MOST[name], cost)


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--epochs", type=int, help="of each job, in place of its own; the limits are for its own")
    options = parser.parse_args()
    print(machine.description(), flush=True)
    return report_limits(
        [measure(name, rounds=options.rounds, epochs=options.epochs or EPOCHS[name]) for name in ("lecture", "cnn")]
    )


if __name__ == "__main__":
    sys.exit(main())
