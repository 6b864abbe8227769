"""Measure what many classes cost.

    python benchmarks/classes.py [--rounds 3] [--images 10000] [--epochs 2]

Trains a small convolutional network with Copycat on equally many images of 10 and of 1,000 classes. It pools to 64
numbers before its last layer, so that its size hardly depends on the classes. The runs alternate as whole processes,
with everything that a run records: metrics of each epoch and of the final weights, predictions.csv, TensorBoard. The
seconds are processor time, because wall time includes the work of others. The output also has the time to score all
images: to count them, from which five of the six scores follow, and to compute the area under the ROC curve, which
sorts the images once per class. The exit status is 1 if 1,000 classes need more than 1.2 times the time or the memory.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import Process, alternate, at_most, ratio, report_limits, run_process

MOST = 1.2
CLASSES = (10, 1000)
SIDE = 32
"""Pixels of an image."""
NETWORK = """
from torch import nn


class Pooled(nn.Sequential):
    def __init__(self, *, out_features: int, **others: object) -> None:
        layers = []
        for before, after in ((3, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, out_features))
"""
WORDS = (
    *("data=folder", "data.root=images", f"data.image_size={SIDE}", "data.batch_size=100", "loss=cross_entropy"),
    *("optimizer=adam", "trainer.threads=1", "trainer.accelerator=cpu", "model._target_=network.Pooled"),
)
SCORES = """
import sys, time, torch
from copycat.models.metrics import compute_scores
from copycat.models.score_counts import class_scores, count_classes
images, classes = map(int, sys.argv[1:])
probability, label = torch.randn(images, classes).softmax(1), torch.arange(images) % classes
for count in (
    lambda: class_scores(count_classes(probability.argmax(1), label, classes=classes), dtype=torch.float32),
    lambda: compute_scores(probability[None], label[None], classes=classes),
):
    count()
    began = time.process_time()
    count()
    print(time.process_time() - began)
"""


def draw(folder: Path, *, classes: int, images: int) -> None:
    """Write equally many noise images per class, with class names of equal length."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0)
    for place in range(images):
        home = folder / f"{place % classes:04}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(home / f"{place}.png")


def score(images: int, classes: int) -> tuple[float, float]:
    """Return the seconds that the counts take, and that all scores take."""
    printed = subprocess.check_output([sys.executable, "-c", SCORES, str(images), str(classes)], text=True)
    counts, whole = map(float, printed.split())
    return counts, whole


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        for classes in CLASSES:
            at = Path(folder, str(classes))
            draw(at / "images", classes=classes, images=options.images)
            (at / "network.py").write_text(NETWORK)
            words = [sys.executable, "-m", "copycat", "train", *WORDS, f"trainer.max_epochs={options.epochs}"]
            sides[f"{classes} classes"] = partial(run_process, words, at=at)
        found: dict[str, list[Process]] = alternate(sides, rounds=options.rounds)
    print(f"{options.images} images, {options.epochs} epochs, median of {options.rounds} whole processes")
    for classes, (name, runs) in zip(CLASSES, found.items(), strict=True):
        seconds, peak = median(run.processor for run in runs), median(run.peak for run in runs)
        counts, whole = score(options.images, classes)
        print(
            f"  {name:12}  {seconds:6.1f} s of the processor, {peak / 2**20:6.0f} MiB at most;"
            f" all images scored in {whole:.3f} s, {counts:.3f} s of it for the counts"
        )
    few, many = found.values()
    return report_limits(
        [
            at_most("1000 ÷ 10 classes, seconds", MOST, ratio([r.processor for r in many], [r.processor for r in few])),
            at_most("1000 ÷ 10 classes, memory", MOST, ratio([r.peak for r in many], [r.peak for r in few])),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
