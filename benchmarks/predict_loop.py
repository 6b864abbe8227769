"""Classify many images by a hand-written loop in plain PyTorch and Pillow.

    python benchmarks/predict_loop.py weights.safetensors FOLDER

One thread per core opens each JPEG, crops its middle square, resizes that to 64×64 and returns a tensor; batches of
256 go through the CNN of loop.py. Writes a CSV to standard output: file and probability.
"""

import csv
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from loop import cnn
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

SIDE, BATCH = 64, 256


def read(path: Path) -> Tensor:
    """Return an image as uint8 [3, 64, 64], RGB."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        square = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def predictions(weights: Path, files: list[Path]) -> Iterator[tuple[Path, float]]:
    """Yield each file with its probability."""
    network = cnn().eval()
    saved = load_file(weights)
    named = {name.replace("features.", "").replace("linear.", "11."): value for name, value in saved.items()}
    network.load_state_dict(named)
    with ThreadPoolExecutor(os.cpu_count()) as pool, torch.inference_mode():
        for start in range(0, len(files), BATCH):
            some = files[start : start + BATCH]
            images = torch.stack(list(pool.map(read, some)))
            yield from zip(some, network(images.float().div(255))[:, 0].tolist(), strict=True)


def main() -> None:
    """Write the CSV."""
    weights, folder = map(Path, sys.argv[1:])
    rows = csv.writer(sys.stdout)
    rows.writerow(["file", "probability"])
    rows.writerows(predictions(weights, sorted(folder.iterdir())))


if __name__ == "__main__":
    main()
