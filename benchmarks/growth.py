"""Measure how costs grow with trials, images, classes, run folders, and the trials of a study.

    python benchmarks/growth.py [trials images classes folders study] [--most 200000] [--to growth.json]

Trains logistic regression on noise. `trials`: seconds of the processor a trial, trained as one network on 209 images of
64×64×3 for 200 epochs, by SGD and by Adam; of Adam, whose steps are bound by arithmetic and memory, also the GFLOP/s of
its matrix products and the GB/s that it reads and writes, beside a plain product and a plain read of the same size.
`images`: seconds of an epoch an image, of 16×16×3, in batches of 1,000. `classes`: those of an epoch of 10,000 images.
`folders`: seconds of `copycat runs --best`, the first time and later. `study`: seconds from one trial's start to the
next one's in an Optuna sweep of trials of one epoch, which is nearly all overhead. Costs of a whole process are taken
off by a second, shorter run. --most bounds all counts. What is measured goes to the file of --to, and the picture of
all in it to --picture.

![Costs by trials, images, classes, run folders and trials of a study](../images/growth.png)

Where the curves bend: a trial of a pack by Adam costs less until the products of all first layers reach the processor's
rate. By SGD its first layer costs next to nothing, and its own metrics and records remain. With few images the fixed
cost of an epoch dominates, and from the second batch on images are copied in random order. Classes cost arithmetic once
the output layer takes more than reading the images. From 10,000 run folders on, checking each folder for changes
dominates. A trial of a study costs the same as long as TPE's own arithmetic is small beside it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import machine
from packed import PLAIN
from rounds import run_process

DATA = '''
import torch

from copycat.data.split import Part


class Noise:
    """Random images of each class in turn."""

    synthetic = True

    def __init__(self, *, images: int, classes: int, side: int) -> None:
        self.images, self.side, self.classes = images, side, tuple(f"c{number}" for number in range(classes))

    def load(self) -> dict[str, Part]:
        return {"train": self._part("train", self.images), "val": self._part("val", max(50, len(self.classes)))}

    def _part(self, name: str, count: int) -> Part:
        random = torch.Generator().manual_seed(count)
        images = torch.randint(256, (count, 3, self.side, self.side), generator=random, dtype=torch.uint8)
        labels = torch.arange(count) % len(self.classes)
        names = [f"{name}[{place}]" for place in range(count)]
        return Part(images=images, labels=labels, names=names, digests=[text.encode() for text in names])
'''
FILES = {
    "noise/__init__.py": "",
    "noise/data.py": DATA,
    "conf/data/noise.yaml": "_target_: noise.data.Noise\nimages: 209\nclasses: 2\nside: 16\n",
}
WORDS = ("data=noise", "model=logistic", "logger=none", "callbacks=none", "trainer.threads=1")
TRIALS, EPOCHS, VALIDATED = (1, 4, 16, 64, 256, 1000), 200, 100
"""Trials of a pack; epochs that a trial's cost is stated for, and from one validation to the next."""
IMAGES = (209, 1_000, 5_000, 20_000, 50_000, 200_000)
CLASSES, CLASS_IMAGES = (2, 10, 100, 1_000), 10_000
FOLDERS = (10, 100, 1_000, 10_000, 100_000)
LINKS = 10_000
"""Run folders whose files are one."""
STUDY = (10, 30, 100, 300, 1_000, 3_000, 10_000)
FLOPS = 4 * 209 * 12288
"""Of a trial's epoch: its two products with the images, forward and backward."""
BYTES, BYTES_SHARED = 36 * 12288, 8 * 209 * 12288
"""That a trial's epoch by Adam reads and writes, of weights, gradients and moments; and that a pack reads of images."""
Points = list[dict[str, float]]


def train(words: Sequence[str], at: Path) -> float:
    """Return the processor seconds of a training, with its start."""
    return run_process([sys.executable, "-m", "copycat", "train", *WORDS, *words], at=at).processor


def seconds_per_epoch(words: Sequence[str], short: int, long: int, at: Path) -> float:
    """Return the processor seconds of an epoch: of a long run less those of a short one, which has the same start."""
    took = [train([*words, f"trainer.max_epochs={epochs}"], at) for epochs in (short, long)]
    return (took[1] - took[0]) / (long - short)


def bounded(counts: Sequence[int], most: int) -> list[int]:
    """Return the counts that are not above the bound."""
    return [count for count in counts if count <= most]


def measure_trials(at: Path, most: int) -> Points:
    """Train packs."""
    points: Points = []
    for trials in bounded(TRIALS, most):
        words = ["-m", f"seed=range({trials})", "hydra/launcher=packed"]
        words += ["data.side=64", f"trainer.check_val_every_n_epoch={VALIDATED}"]
        more = EPOCHS * max(1, 32 // trials)
        sgd, adam = (
            seconds_per_epoch([*words, f"optimizer={name}"], VALIDATED, VALIDATED + more, at)
            for name in ("sgd", "adam")
        )
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        plain = subprocess.check_output([sys.executable, "-c", PLAIN, str(trials), "1"], env=one_thread)
        point = {"x": trials, "y": sgd / trials * EPOCHS, "adam": adam / trials * EPOCHS}
        rates = {"gflops": FLOPS * trials / adam / 1e9, "gbs": (BYTES * trials + BYTES_SHARED) / adam / 1e9}
        points.append(point | rates | dict(zip(("product", "read"), json.loads(plain), strict=True)))
        report("trials", points)
    return points


def measure_images(at: Path, most: int) -> Points:
    """Train on more and more images."""
    points: Points = []
    for images in bounded(IMAGES, most):
        words, epochs = [f"data.images={images}", "data.batch_size=1000"], max(2, 1_000_000 // images)
        points.append({"x": images, "y": seconds_per_epoch(words, 1, 1 + epochs, at) / images})
        report("images", points)
    return points


def measure_classes(at: Path, most: int) -> Points:
    """Train on more and more classes."""
    points: Points = []
    for classes in bounded(CLASSES, most):
        words = [f"data.images={CLASS_IMAGES}", f"data.classes={classes}", "data.batch_size=1000", "loss=cross_entropy"]
        points.append({"x": classes, "y": seconds_per_epoch(words, 1, 21, at)})
        report("classes", points)
    return points


def measure_folders(at: Path, most: int) -> Points:
    """Read more and more run folders."""
    points, root = Points(), at / "sweep"
    train(["-m", "seed=0,1", "trainer.max_epochs=2", f"sweep.folder={root}"], at)
    trial = json.loads((root / "0" / "trial.json").read_text())
    for folders, following in pairwise((2, *bounded(FOLDERS, most))):
        for number in range(folders, following):
            source = number // LINKS * LINKS  # a file may have 65,000 links on ext4
            linked = number != source
            shutil.copytree(
                root / str(source if linked else 0),
                root / str(number),
                copy_function=os.link if linked else shutil.copy2,
            )
            (root / str(number) / "trial.json").unlink()
            (root / str(number) / "trial.json").write_text(json.dumps({**trial, "number": number}))
        time.sleep(3)  # what was written just now is not remembered

        def runs() -> float:
            return run_process([sys.executable, "-m", "copycat", "runs", str(root), "--best"], at=at).wall

        first = runs()
        points.append({"x": following, "y": median(runs() for _ in range(3)), "first": first})
        report("folders", points)
    return points


def measure_study(at: Path, most: int) -> Points:
    """Run one long Optuna sweep."""
    folder, ends = at / "study", bounded(STUDY, most)
    words = ["hydra/sweeper=optuna", f"hydra.sweeper.n_trials={ends[-1]}", "optimizer.lr=tag(log,interval(1e-4,1))"]
    words += ["hydra/launcher=basic", "data.images=16", "data.side=1", "trainer.max_epochs=1"]
    train(["-m", *words, f"sweep.folder={folder}"], at)
    records = (json.loads((folder / str(number) / "trial.json").read_text()) for number in range(ends[-1]))
    started = [datetime.fromisoformat(record["started"]).timestamp() for record in records]
    gaps = [after - before for before, after in pairwise(started)]
    points: Points = []
    for end in ends:
        points.append({"x": end, "y": median(gaps[max(1, end - max(9, end // 10)) : end])})
        report("study", points)
    return points


PARTS: Mapping[str, Callable[[Path, int], Points]] = {
    "trials": measure_trials,
    "images": measure_images,
    "classes": measure_classes,
    "folders": measure_folders,
    "study": measure_study,
}
AXES = {
    "trials": ("trials as one network", "ms a trial", 1e3),
    "images": ("images", "µs an image and epoch", 1e6),
    "classes": ("classes", "ms an epoch of 10,000 images", 1e3),
    "folders": ("run folders", "s, copycat runs", 1.0),
    "study": ("trials of a study", "ms from trial to trial", 1e3),
}
LINES = {"trials": {"y": "SGD", "adam": "Adam"}, "folders": {"y": "nothing changed", "first": "the first time"}}
"""Lines of a part that has several."""


def report(part: str, points: Points) -> None:
    """Print the last point."""
    _, unit, factor = AXES[part]
    scaled = {name: value * (factor if name in LINES.get(part, {}) else 1.0) for name, value in points[-1].items()}
    rest = "".join(f"  {name} {value:.3g}" for name, value in scaled.items() if name not in "xy")
    print(f"{part:8} {points[-1]['x']:8,.0f}  {factor * points[-1]['y']:10.3f} {unit}{rest}", flush=True)


def draw(found: Mapping[str, Points], picture: Path) -> None:
    """Draw each cost by what it grows with, and the rates of packs beside a plain product."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(15, 6.5), layout="constrained")
    for place, (part, (label, unit, factor)) in zip(axes.flat, AXES.items(), strict=False):
        points = found.get(part, [])
        for key, text in LINES.get(part, {"y": part}).items():
            place.loglog([p["x"] for p in points], [factor * p[key] for p in points], "o-", label=text)
        place.set(xlabel=label, ylabel=unit)
        low, high = place.get_ylim()
        if high < 10 * low:  # as many decades as growth could have shown
            place.set_ylim(low / 3, high * 3)
        place.grid(alpha=0.3)
        if part in LINES:
            place.legend()
    points = found.get("trials", [])
    rates = ("GFLOP/s", "gflops", "product"), ("GB/s", "gbs", "read")
    for place, (unit, own, plain) in zip(axes.flat[5:7], rates, strict=True):
        for key, style, name in ((own, "o-", "a pack, by Adam"), (plain, "k--", f"a plain {plain}")):
            place.loglog([p["x"] for p in points], [p[key] for p in points], style, label=name)
        place.set(xlabel=AXES["trials"][0], ylabel=unit)
        place.grid(alpha=0.3)
        place.legend()
    axes.flat[7].remove()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110, metadata={"Software": None})


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--most", type=int, default=max(IMAGES), help="largest count to measure")
    parser.add_argument("--to", type=Path, default=Path("outputs/benchmarks/growth.json"), help="JSON of the points")
    parser.add_argument("--picture", type=Path, default=Path("docs/images/growth.png"))
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"expected some of {', '.join(PARTS)}; got {', '.join(sorted(unknown))}")
    print(machine.description(), flush=True)
    found: dict[str, Points] = json.loads(options.to.read_text()) if options.to.exists() else {}
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            os.environ["COPYCAT_CACHE"] = str(at / "cache")
            for name, text in FILES.items():
                (at / name).parent.mkdir(parents=True, exist_ok=True)
                (at / name).write_text(text)
            found[part] = PARTS[part](at, options.most)
        options.to.parent.mkdir(parents=True, exist_ok=True)
        options.to.write_text(json.dumps(found, indent=1))
    draw(found, options.picture)


if __name__ == "__main__":
    main()
