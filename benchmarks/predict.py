"""Measure the classification of many images beside a hand-written loop.

    python benchmarks/predict.py [--images 10000] [--rounds 3]

Compares `copycat predict RUN FOLDER --csv` with predict_loop.py, which decodes with as many threads in batches of 256,
in turn and as whole processes, on JPEGs with sides of 200 to 500 pixels: drawn images, enlarged and with noise, of
which 500 differ and the others are hard links to these. The network is the CNN, on 64×64. Then it measures, in this
process, the time to compute the features of an image for `model=transfer`, and to read them from the cache. The exit
status is 1 if Copycat's rate is below 0.95 of the loop's, if ten times the images need more than 1.05 times the
memory, or if the features of an image take more than 64 ms. Needs the extra `pretrained`.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import machine
import numpy as np
from PIL import Image
from rounds import Limit, Process, alternate, at_most, ratio, report_limits, run_process

LOOP = Path(__file__).with_name("predict_loop.py")
COPYCAT, BARE, FEWER = "Copycat", "loop by hand", "Copycat, a tenth"
DIFFERENT = 500
RATE, MEMORY, FEATURES = 0.95, 1.05, 64
TRAIN = ("model=cnn", "optimizer=adam", "data.batch_size=32", "trainer.max_epochs=5")


def draw(folder: Path, count: int, *, drawn: Path) -> Path:
    """Write JPEGs as a camera leaves them: large, of any shape, and noisy."""
    chance, small = np.random.default_rng(0), sorted(drawn.rglob("*.png"))
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05}.jpg"
        if number >= DIFFERENT:
            path.hardlink_to(folder / f"{number % DIFFERENT:05}.jpg")
            continue
        with Image.open(small[number % len(small)]) as image:
            large = np.asarray(image.resize(chance.integers(200, 501, 2).tolist(), Image.Resampling.BICUBIC))
        noisy = (large + chance.normal(0, 8, large.shape)).clip(0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(path, quality=90)
    return folder


def link_files(folder: Path, files: Iterable[Path]) -> Path:
    """Link some of the files into a folder of their own."""
    folder.mkdir()
    for file in files:
        (folder / file.name).hardlink_to(file)
    return folder


def read_column(path: Path, column: str) -> Iterator[float]:
    """Yield a column of a CSV as numbers; the file has the command's messages too."""
    with path.open(newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("copycat: ")):
            yield float(row[column])


def features() -> list[Limit]:
    """Measure the milliseconds of an image's features, through the backbone and from memory."""
    import torch

    from copycat.config.errors import UserError
    from copycat.models.transfer import efficientnet_lite0

    images = torch.rand(31, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    try:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["COPYCAT_CACHE"] = cache
            network = efficientnet_lite0(out_features=1).eval()
            took: list[list[float]] = [[], []]
            for times in took:
                for image in images:
                    began = time.perf_counter()
                    network(image[None].clone())
                    times.append(1000 * (time.perf_counter() - began))
    except UserError as error:
        print(error)
        return []
    first, kept = (median(times[1:]) for times in took)
    print(f"features of an image: {first:.1f} ms the first time, {kept:.2f} ms once kept, medians of {len(images) - 1}")
    return [Limit("features of an image", f"at most {FEATURES} ms", f"{first:.1f} ms", first <= FEATURES)]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    copycat = [sys.executable, "-m", "copycat"]
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        run_process([*copycat, "data", "draw", "drawn"], at=at)
        all_of_them = draw(at / "all", options.images, drawn=at / "drawn")
        fewer = link_files(at / "fewer", sorted(all_of_them.iterdir())[: options.images // 10])
        run_process([*copycat, "train", *TRAIN], at=at)
        (run,) = (manifest.parent for manifest in at.glob("outputs/*/*/*/run.json"))
        weights = str(run / "weights.safetensors")
        for place in (COPYCAT, BARE, FEWER):
            (at / place).mkdir()
        sides = {
            COPYCAT: partial(run_process, [*copycat, "predict", str(run), str(all_of_them), "--csv"], at=at / COPYCAT),
            BARE: partial(run_process, [sys.executable, str(LOOP), weights, str(all_of_them)], at=at / BARE),
            FEWER: partial(run_process, [*copycat, "predict", str(run), str(fewer), "--csv"], at=at / FEWER),
        }
        sides[FEWER]()  # reads the packages from disk, once
        found: dict[str, list[Process]] = alternate(sides, rounds=options.rounds)
        ours, theirs = (
            read_column(at / COPYCAT / "output.txt", "probability/cat"),
            read_column(at / BARE / "output.txt", "probability"),
        )
        is_equal = [(a > 0.5) == (b > 0.5) for a, b in zip(ours, theirs, strict=True)]
    print(f"{options.images} JPEGs of 200 to 500 pixels, median of {options.rounds} whole processes")
    for side, count in ((COPYCAT, options.images), (BARE, options.images), (FEWER, options.images // 10)):
        wall, peak = median(p.wall for p in found[side]), median(p.peak for p in found[side]) / 2**20
        print(f"  {side:16}  {wall:7.2f} s, {count / wall:6.0f} images a second, {peak:6.1f} MiB at most")
    print(f"  the same class said by both: {sum(is_equal) / len(is_equal):.2%}", flush=True)
    rate = ratio([p.wall for p in found[BARE]], [p.wall for p in found[COPYCAT]])
    memory = ratio([p.peak for p in found[COPYCAT]], [p.peak for p in found[FEWER]])
    limits = [
        Limit("rate: Copycat ÷ loop by hand", f"at least {RATE:.2f}", str(rate), rate.median >= RATE),
        at_most("memory: all ÷ a tenth", MEMORY, memory),
    ]
    return report_limits([*limits, *features()])


if __name__ == "__main__":
    sys.exit(main())
