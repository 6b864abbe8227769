"""Measure the processor time of loading images beside a plain DataLoader with Pillow.

    python benchmarks/images.py [--images 2000] [--rounds 5]

Epochs in turn, each in a process of its own, over JPEGs of 256×256 pixels that become 224×224, in batches of 64: a
plain torch DataLoader whose Dataset opens each file by Pillow, crops, resizes and scales it; `data=folder`, which
decodes as images are needed; and `data=folder data.cache=true` once the cache is warm. The figure is the processor time
of an image, workers included. The exit status is 1 if the folder's rate is below 0.95 of the plain loop's with 1 or 2
workers, or the warm cache's is below 3 times that of the plain loop with 1 worker.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import machine
import numpy as np
import torch
from PIL import Image
from rounds import Limit, alternate, ratio, report_limits, run_process
from torch.utils.data import DataLoader, Dataset

BATCH, STORED, SIDE = 64, 256, 224
PLAIN, FOLDER, CACHE = "plain", "folder", "cache"
RATE, CACHED_RATE = 0.95, 3.0


class PlainImages(Dataset[tuple[torch.Tensor, int]]):
    """Open images as a hand-written Dataset does."""

    def __init__(self, files: list[Path]) -> None:
        """Store the files."""
        self.files = files

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return an image, float32 [3, 224, 224] in [0, 1], and its label."""
        with Image.open(self.files[index]) as image:
            pixels = np.array(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div_(255), index % 2


def write_images(folder: Path, count: int) -> None:
    """Write JPEGs of about 13 kB of two classes: smooth colors with some noise."""
    chance = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        small = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((STORED, STORED), Image.Resampling.BICUBIC))
        noisy = (smooth + chance.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "ab"[number % 2] / f"{number:06}.jpg", quality=85)


def open_batches(side: str, workers: int, folder: Path) -> tuple[int, Iterable[object]]:
    """Return the number of images and a shuffled epoch of batches."""
    if side == PLAIN:
        plain = PlainImages(sorted(folder.rglob("*.jpg")))
        return len(plain), DataLoader(plain, batch_size=BATCH, shuffle=True, num_workers=workers)
    from copycat.data.datamodule import DataModule
    from copycat.data.sources.folder import Folder

    source = Folder(root=str(folder), image_size=SIDE, memory_mb=0, cache=side == CACHE)
    data = DataModule(source, batch_size=BATCH, shuffle=True, workers=workers, split="holdout", holdout=0.001)
    return len(data.parts["train"]), data.train_dataloader()


def processor_seconds() -> float:
    """Return the processor time of this process and of its ended children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def measure(side: str, workers: int, folder: Path) -> None:
    """Print the processor milliseconds of an image in one epoch, after everything else is read."""
    torch.set_num_threads(1)
    count, batches = open_batches(side, workers, folder)
    before = processor_seconds()
    for _ in batches:
        pass
    print(json.dumps(1000 * (processor_seconds() - before) / count))


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=3, metavar=("SIDE", "WORKERS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        side, workers, folder = options.measure
        measure(side, int(workers), Path(folder))
        return 0
    print(machine.description(), flush=True)
    sides = [(PLAIN, 0), (PLAIN, 1), (PLAIN, 2), (FOLDER, 0), (FOLDER, 1), (FOLDER, 2), (CACHE, 0)]
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        os.environ["COPYCAT_CACHE"] = str(at / "cache")
        write_images(at / "images", options.images)

        def run(side: str, workers: int) -> float:
            words = [sys.executable, __file__, "--measure", side, str(workers), str(at / "images")]
            run_process(words, at=at)
            return float(json.loads((at / "output.txt").read_text().splitlines()[-1]))

        for side in (FOLDER, CACHE):  # reads the digests, and decodes into the cache, once
            run(side, 0)
        found = alternate({" ".join(map(str, one)): partial(run, *one) for one in sides}, rounds=options.rounds)
    print(f"{options.images} JPEGs of {STORED}×{STORED} to {SIDE}×{SIDE}: processor ms of an image, median")
    for side, workers in sides:
        print(f"  {side:6} {workers} workers  {sorted(found[f'{side} {workers}'])[options.rounds // 2]:.3f}")
    limits = []
    for workers in (1, 2):
        rate = ratio(found[f"{PLAIN} {workers}"], found[f"{FOLDER} {workers}"])
        limits.append(
            Limit(f"rate, {workers} workers: folder ÷ plain", f"at least {RATE}", str(rate), rate.median >= RATE)
        )
    rate = ratio(found[f"{PLAIN} 1"], found[f"{CACHE} 0"])
    limits.append(
        Limit("rate: warm cache ÷ plain, 1 worker", f"at least {CACHED_RATE:g}", str(rate), rate.median >= CACHED_RATE)
    )
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
