"""What classes cost: python benchmarks/classes.py [--rounds 3] [--images 10000] [--epochs 2]

As many images in 10 classes and in 1,000: a run by Copycat of a small convolutional network that pools to 64 numbers
before its last layer, so that the network itself hardly grows with the classes. In turn and as whole processes, with
all that a run records: metrics of each epoch and of the final weights, predictions.csv, TensorBoard. The seconds are
the processor's, since the clock's also count what others do. Beside them stands what the scores of all images take by
themselves: their counts, from which five of the six scores follow, and the area under the ROC curve, which sorts the
images once for each class. Ends with status 1 where 1,000 classes take more than 1.2 times the time or the memory.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import machine
from rounds import Process, alternate, at_most, concluded, play, ratio

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
from copycat.models.metrics import of_confusion, scores
images, classes = map(int, sys.argv[1:])
probability, label = torch.randn(images, classes).softmax(1), torch.arange(images) % classes
for count in (
    lambda: of_confusion(probability.argmax(1), label, classes=classes),
    lambda: scores(probability[None], label[None], classes=classes),
):
    count()
    began = time.process_time()
    count()
    print(time.process_time() - began)
"""


def draw(folder: Path, *, classes: int, images: int) -> None:
    """Write as many images of noise for each class, whose names are all as long."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0)
    for place in range(images):
        home = folder / f"{place % classes:04}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(home / f"{place}.png")


def score(images: int, classes: int) -> tuple[float, float]:
    """Seconds that the counts take, and all scores."""
    printed = subprocess.check_output([sys.executable, "-c", SCORES, str(images), str(classes)], text=True)
    counts, whole = map(float, printed.split())
    return counts, whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    print(machine.description(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        for classes in CLASSES:
            at = Path(folder, str(classes))
            draw(at / "images", classes=classes, images=asked.images)
            (at / "network.py").write_text(NETWORK)
            words = [sys.executable, "-m", "copycat", "train", *WORDS, f"trainer.max_epochs={asked.epochs}"]
            sides[f"{classes} classes"] = partial(play, words, at=at)
        found: dict[str, list[Process]] = alternate(sides, rounds=asked.rounds)
    print(f"{asked.images} images, {asked.epochs} epochs, median of {asked.rounds} whole processes")
    for classes, (name, runs) in zip(CLASSES, found.items(), strict=True):
        seconds, peak = median(run.processor for run in runs), median(run.peak for run in runs)
        counts, whole = score(asked.images, classes)
        print(
            f"  {name:12}  {seconds:6.1f} s of the processor, {peak / 2**20:6.0f} MiB at most;"
            f" all images scored in {whole:.3f} s, {counts:.3f} s of it for the counts"
        )
    few, many = found.values()
    return concluded(
        [
            at_most("1000 ÷ 10 classes, seconds", MOST, ratio([r.processor for r in many], [r.processor for r in few])),
            at_most("1000 ÷ 10 classes, memory", MOST, ratio([r.peak for r in many], [r.peak for r in few])),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
