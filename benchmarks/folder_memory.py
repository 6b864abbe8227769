"""Measure how the anonymous memory of a run grows with the images in its folder.

    python benchmarks/folder_memory.py [--small 20000] [--large 200000] [--rounds 1] [--workers 1]

Trains one epoch of a logistic regression by `copycat train data=folder`, with augmentation and shuffled batches, on
folders of tiny images that are all different. Each run starts with an empty cache, then again with the digests known.
The figure is the peak, over the run, of the anonymous memory of the command and its workers together, where pages that
processes share count once (Pss_Anon; Linux only). It is sampled 20 times a second; of two samples in a row the lower
one counts. Prints the ratio of the larger folder to the smaller one, and the bytes of each further file, its path
included. The exit status is 1 if a ratio is above 1.10, or a second start on the larger folder takes more than 5 s
until its images are known.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import machine
import numpy as np
from rounds import Limit, alternate, at_most, ratio, report_limits

SIDE, RATIO, START_SECONDS, INTERVAL = 8, 1.10, 5.0, 0.05
HEAD = struct.pack("<2sIHHI", b"BM", 54 + 3 * SIDE**2, 0, 0, 54) + struct.pack(
    "<IiiHHIIiiII", 40, SIDE, SIDE, 1, 24, 0, 3 * SIDE**2, 2835, 2835, 0, 0
)
"""Head of an uncompressed BMP file."""
LOAD = """
import sys, time
from copycat.data.datamodule import DataModule
from copycat.data.sources.folder import Folder
start = time.perf_counter()
data = DataModule(Folder(root=sys.argv[1], image_size=int(sys.argv[2]), memory_mb=0), batch_size=256, shuffle=True)
data.parts, data.fingerprint()
print(time.perf_counter() - start)
"""


def write_images(folder: Path, count: int) -> None:
    """Write images of two classes, all different."""
    for name in "ab":
        (folder / name).mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(count):
        pixels = chance.integers(0, 256, 3 * SIDE**2, dtype=np.uint8).tobytes()
        (folder / "ab"[number % 2] / f"photo_{number:08}.bmp").write_bytes(HEAD + pixels)


def descendants(root: int) -> list[int]:
    """Return a process and all that it started."""
    found = [root]
    for process in found:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{process}/task"):
                with suppress(OSError):
                    found += map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())
    return found


def anonymous_bytes(process: int) -> int:
    """Return the anonymous memory of a process in bytes, its share of pages that several processes have."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return 0


def peak_memory(folder: Path, workers: int) -> float:
    """Return the peak of the anonymous memory of a run in bytes."""
    words = ["data=folder", f"data.root={folder}", f"data.image_size={SIDE}", "data.memory_mb=0", "data.batch_size=256"]
    words += ["data.shuffle=true", f"data.workers={workers}", "augmentation=light", "model=logistic", "seed=0"]
    words += ["trainer.max_epochs=1", "logger=none", "trainer.threads=1"]
    with tempfile.TemporaryDirectory() as at, (Path(at) / "output.txt").open("wb+") as output:
        run = subprocess.Popen([sys.executable, "-m", "copycat", "train", *words], cwd=at, stdout=output, stderr=output)
        peak = last = 0
        while run.poll() is None:
            # a child between vfork and exec has the memory of its parent, which would count twice: it is gone at once
            last, before = sum(map(anonymous_bytes, descendants(run.pid))), last
            peak = max(peak, min(last, before))
            time.sleep(INTERVAL)
        if run.returncode:
            sys.exit((Path(at) / "output.txt").read_text(errors="replace"))
    return float(peak)


def start_seconds(folder: Path) -> float:
    """Return the seconds until a second start has read the parts of a folder, and their fingerprint."""
    words = [sys.executable, "-c", LOAD, str(folder), str(SIDE)]
    return float(subprocess.check_output(words, text=True))


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        counts = {"small": options.small, "large": options.large}
        for side, count in counts.items():
            write_images(at / side, count)

        def first(side: str) -> float:
            os.environ["COPYCAT_CACHE"] = tempfile.mkdtemp(dir=at)
            os.environ[f"CACHE_OF_{side}"] = os.environ["COPYCAT_CACHE"]
            return peak_memory(at / side, options.workers)

        def second(side: str) -> float:
            os.environ["COPYCAT_CACHE"] = os.environ[f"CACHE_OF_{side}"]
            return peak_memory(at / side, options.workers)

        starts = {
            f"{kind}, {side}": partial(start, side)
            for side in counts
            for kind, start in (("first start", first), ("second start", second))
        }
        found = alternate(starts, rounds=options.rounds)
        seconds = [start_seconds(at / "large") for _ in range(max(options.rounds, 3))]
    limits = []
    for kind in ("first start", "second start"):
        small, large = (sorted(found[f"{kind}, {side}"])[options.rounds // 2] for side in counts)
        each = (large - small) / (options.large - options.small)
        print(f"{kind}: {small / 2**20:.0f} and {large / 2**20:.0f} MiB anonymous; {each:.0f} bytes a further file")
        rate = ratio(found[f"{kind}, large"], found[f"{kind}, small"])
        limits.append(at_most(f"{kind}: {options.large} ÷ {options.small} images", RATIO, rate))
    fastest = min(seconds)
    limits.append(
        Limit("second start, seconds", f"at most {START_SECONDS:g}", f"{fastest:.2f}", fastest <= START_SECONDS)
    )
    return report_limits(limits)


if __name__ == "__main__":
    sys.exit(main())
