"""Measure a step's overhead beyond the network's own work.

    python benchmarks/overhead.py [--steps 10000] [--rounds 5]

Trains a network with one weight on 16 images of one pixel, from a user's package and ./conf, with the default
callbacks and loggers, and validates every 100 epochs; once with the whole set per step, and once with 8 steps per
epoch. The microseconds per step are the difference in time between a long and a short run, divided by the difference
in steps, so that costs per run cancel out. In turn with it, the same network trains in a bare loop. The exit status is
1 if a step takes more than 25 µs beyond the bare loop's.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import Limit, alternate, report_limits, run_process

NETWORK = '''
import torch
from torch import Tensor, nn


class OneWeight(nn.Module):
    """Weighs an image's first pixel. [B, 1, 1, 1] float -> [B, 1] logits."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 0, 0] * self.weight
'''
DATA = '''
import torch

from copycat.data.split import Part, digest


class Pixels:
    """Dark ones and bright ones."""

    classes = ("dark", "bright")
    synthetic = True

    def load(self) -> dict[str, Part]:
        return {"train": part("train", 16), "val": part("val", 8)}


def part(name: str, count: int) -> Part:
    images = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1)
    labels = (torch.arange(count) >= count // 2).long()
    names = [f"{name}[{place}]" for place in range(count)]
    return Part(images=images, labels=labels, names=names, digests=[digest(image) for image in images])
'''
BARE = """
import json, sys, time
import torch
from torch import nn
from tiny.networks import OneWeight

epochs, size = map(int, sys.argv[1:])
images = torch.arange(16).view(16, 1, 1, 1) / 255
labels = (torch.arange(16) >= 8).float()[:, None]
model, criterion, losses = OneWeight(), nn.BCELoss(), []
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
began = time.perf_counter()
for _ in range(epochs):
    for x, y in zip(images.split(size), labels.split(size)):
        outputs = model(x).sigmoid()
        loss = criterion(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    losses.append(loss.item())
with open("run.json", "w") as file:
    json.dump({"seconds": time.perf_counter() - began}, file)
"""
FILES = {
    "tiny/__init__.py": "",
    "tiny/networks.py": NETWORK,
    "tiny/data.py": DATA,
    "bare.py": BARE,
    "conf/model/one_weight.yaml": "_target_: tiny.networks.OneWeight\n",
    "conf/data/pixels.yaml": "_target_: tiny.data.Pixels\n",
}
WORDS = (
    "model=one_weight",
    "data=pixels",
    "data.shuffle=false",
    "optimizer=sgd",
    "trainer.check_val_every_n_epoch=100",
)
MOST = 25
"""Microseconds of a step beyond the bare loop's."""
SIZES = {1: 16, 8: 2}
"""Steps per epoch: batch size."""


def seconds(command: Sequence[str], *, at: Path) -> float:
    """Return the seconds of the training, in a new folder as a user has it."""
    with tempfile.TemporaryDirectory(dir=at) as folder:
        for name, text in FILES.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        run_process([sys.executable, *command], at=Path(folder))
        (manifest,) = Path(folder).glob("**/run.json")
        result: float = json.loads(manifest.read_text())["seconds"]
        return result


def copycat(epochs: int, size: int) -> list[str]:
    """Return the command of Copycat."""
    return ["-m", "copycat", "train", *WORDS, f"data.batch_size={size}", f"trainer.max_epochs={epochs}"]


def bare(epochs: int, size: int) -> list[str]:
    """Return the command of the bare loop."""
    return ["bare.py", str(epochs), str(size)]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000, help="of the long runs; the short ones take a fifth")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    print(
        f"a network of one weight, {options.steps // 5} and {options.steps} steps, median of {options.rounds}",
        flush=True,
    )
    limits = []
    for steps, size in SIZES.items():
        epochs = (options.steps // 5 // steps, options.steps // steps)
        with tempfile.TemporaryDirectory() as folder:
            sides = {
                (side.__name__, count): partial(seconds, side(count, size), at=Path(folder))
                for side in (copycat, bare)
                for count in epochs
            }
            for side in (copycat, bare):  # reads the packages from disk, once
                seconds(side(1, size), at=Path(folder))
            found = alternate(sides, rounds=options.rounds)
        each = {
            side: [
                (long - short) / (epochs[1] - epochs[0]) / steps * 1e6
                for short, long in zip(found[side, epochs[0]], found[side, epochs[1]], strict=True)
            ]
            for side in ("copycat", "bare")
        }
        beyond = [a - b for a, b in zip(each["copycat"], each["bare"], strict=True)]
        label = "1 step an epoch" if steps == 1 else f"{steps} steps an epoch"
        print(f"{label}:")
        for name, times in (("Copycat", each["copycat"]), ("bare loop", each["bare"]), ("difference", beyond)):
            print(f"  {name:10}  {median(times):7.1f} µs a step ({min(times):.1f} to {max(times):.1f})", flush=True)
        measured = f"{median(beyond):.1f} µs ({min(beyond):.1f} to {max(beyond):.1f})"
        limits.append(Limit(f"difference, {label}", f"at most {MOST} µs", measured, median(beyond) <= MOST))
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
