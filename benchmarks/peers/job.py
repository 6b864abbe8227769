"""What the peers' scripts share: arguments, the lecture's images, and the line of results that ../peers.py reads."""

import argparse
import json
import os
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The arguments that every script takes."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--data", type=Path, default=os.environ.get("COPYCAT_DATA", "data"), help="folder of the h5 files"
    )
    made.add_argument("--epochs", type=int, default=300)
    made.add_argument("--lr", type=float, default=1e-3)
    made.add_argument("--seed", type=int, default=123)
    return made


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 12288] float32 in [0, 1], channels first, and labels [N, 1] float32 in {0, 1}.

    Args:
        part: train or test.
    """
    with h5py.File(folder / f"{part}_catvnoncat.h5") as file:
        images, labels = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
    images = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.ascontiguousarray(images, dtype=np.float32) / np.float32(255), labels.astype(np.float32)[:, None]


def report(*packages: str, seconds: float, loss: float) -> None:
    """Print the results as the last line.

    Args:
        packages: whose versions to name.
        seconds: of the fit alone.
        loss: of the last epoch's training step.
    """
    versions = {package: version(package) for package in packages}
    print("\n" + json.dumps({"seconds": seconds, "loss": loss, "versions": versions}))
