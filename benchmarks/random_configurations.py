"""Train configurations drawn at random in ways that must give the same bits, and count those that differ.

    python benchmarks/random_configurations.py --runs 200

A configuration has random options of conf/ and random values of the keys below; one that Copycat refuses is drawn
again. Each is trained on 40 drawn images, and compared with its rerun, with the same run in single steps, and with a
shorter run that is extended to as many epochs, where this records the same configuration. Prints a line for each
difference and the counts; exits 1 where a run differs.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

import copycat
from copycat.config.places import CONF

GROUPS = ("model", "activation", "initialization", "optimizer", "scheduler", "loss", "augmentation", "metrics")
EXPENSIVE = {"transfer", "timm", "torchvision", "lecture_deep", "pipeline"}
"""Options that take seconds an epoch, gigabytes by LBFGS, other packages, or an argument."""
CALLBACKS = ("ema", "swa", "early_stopping", "histograms", "activations", "embeddings", "saliency", "quality")
KEYS: dict[str, Sequence[Any]] = {
    "normalize": ("train",),
    "decay_bias_and_norm": ("false",),
    "lr_multipliers": ("{'*bias':0.5}",),
    "data.batch_size": (7, 16, 50),
    "data.shuffle": ("true", "false"),
    "data.sampler": ("balanced",),
    "data.fold": (0, 1),
    "model.batch_norm": ("true",),
    "model.hidden": ("[1]", "[5,4,3]"),
    "model.style": ("sequential",),
    "optimizer.weight_decay": (0.1,),
    "loss.class_weights": ("balanced",),
    "loss.label_smoothing": (0.1,),
    "scheduler.interval": ("step",),
    "callbacks.last.every_n_steps": (3,),
    "callbacks.best.monitor": ("train/loss",),
    "trainer.precision": ("64-true", "bf16-mixed"),
    "trainer.accumulate_grad_batches": (3,),
    "trainer.check_val_every_n_epoch": (2, 3),
    "trainer.gradient_clip_val": (0.05,),
    "trainer.limit_train_batches": (1, 2, 0.5),
    "trainer.channels_last": ("true",),
    "trainer.activation_checkpointing": ("true",),
}
FIXED = ("data.train=40", "data.val=20", "logger=none", "print_losses=[]")


def draw(rng: random.Random) -> list[str]:
    """Draw the overrides of a run; many combinations are refused."""
    words = []
    for group in GROUPS:
        names = sorted({file.stem for file in (CONF / group).glob("*.yaml")} - EXPENSIVE)
        words += [f"{group}={rng.choice(names)}"] if rng.random() < 0.5 else []
    words += [f"callbacks=[default,{rng.choice(CALLBACKS)}]"] if rng.random() < 0.4 else []
    words += [f"{key}={rng.choice(values)}" for key, values in KEYS.items() if rng.random() < 0.1]
    return [*words, f"seed={rng.randrange(100)}", f"trainer.max_epochs={rng.randint(1, 7)}", *FIXED]


def result(run: "copycat.Run") -> list[Any]:
    """Return what two equal runs have in common to the bit."""
    names = ("epochs", "history_digest", "weights_digest", "predictions_digest")
    return [run.status, *(run.manifest["results"].get(name) for name in names)]


def differing_ways(run: "copycat.Run", words: Sequence[str], rng: random.Random, counts: Counter[str]) -> list[str]:
    """Train the run again in each way, count these, and return those that differ from it."""
    found = []
    if run.rerun().comparison.differences:
        found.append("its rerun")
    single = copycat.train([*words, "trainer.steps_per_execution=1"])
    if result(single) != result(run):
        found.append("single steps")
    counts.update(("reruns", "runs in single steps"))
    epochs = run.config["trainer"]["max_epochs"]
    if epochs == 1 or run.status != "completed":
        return found
    shorter = rng.randrange(1, epochs)
    try:
        extended = copycat.train([*words, f"trainer.max_epochs={shorter}"]).resume(max_epochs=epochs)
    except copycat.UserError:  # it ended early, has no checkpoint of its last epoch, or the schedule has no more
        return found
    if extended.config == run.config:
        counts["extensions"] += 1
        found += ["an extension"] if result(extended) != result(run) else []
    return found


def main() -> int:
    """Train and compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, counts, different, home = random.Random(options.seed), Counter[str](), 0, os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while counts["reruns"] < options.runs:
            words = draw(rng)
            try:
                run = copycat.train(words)
            except copycat.UserError:
                counts["refused draws"] += 1
                continue
            if found := differing_ways(run, words, rng, counts):
                different += 1
                print(f"{' and '.join(found)} differ: copycat train {' '.join(words)}", flush=True)
            shutil.rmtree("outputs")
        os.chdir(home)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    print(f"{options.runs - different} of {options.runs} configurations identical in each way")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
