"""Train on a disk that runs full; test_faults.py starts it in its own mount namespace: full_disk.py FOLDER IMAGES.

Repeats the same run on a disk that is three pages larger each time, so that each third write that allocates space fails
once, and prints one line of JSON per run.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.records.checkpoint_file import damage
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from copycat.training.train import train

STEP_KB = 12
"""Three pages, which a tmpfs allocates."""


def shallow_overrides(images: str, at: Path) -> list[str]:
    """Return the overrides of a tiny run on these images."""
    where = ["data=folder", f"data.root={images}", "data.image_size=8", f"output_dir={at}"]
    return [*where, "model=shallow", "model.hidden=[2]", "trainer.max_epochs=4", "trainer.threads=1"]


def describe_folder(folder: Path) -> dict[str, Any]:
    """Read everything of a run folder, as its readers would."""
    points = sum(
        1 for file in folder.rglob("events.out.*") for _ in EventFileLoader(str(file)).Load()
    )  # raises for a damaged record, except a truncated last one
    checkpoints = sorted((folder / "checkpoints").glob("*.ckpt"))
    for path in checkpoints:
        torch.load(path, weights_only=True)
    return {
        "manifest": read_manifest(folder)["status"],
        "rows": read_history(folder) if (folder / "metrics.csv").exists() else [],
        "damaged": [path.name for path in checkpoints if damage(path)],
        "weights": (folder / "weights.safetensors").exists(),
        "half_written": [path.name for path in folder.rglob(".*")],
        "points": points,
    }


def train_on_growing_disk(images: str, disk: Path) -> Iterator[dict[str, Any]]:
    """Train on ever larger disks until a run completes; describe each run."""
    room, request = STEP_KB, compose(shallow_overrides(images, disk / "out"))
    while True:
        for left in disk.iterdir():
            shutil.rmtree(left)
        subprocess.run(["mount", "-o", f"remount,size={room}k", str(disk)], check=True)
        try:
            outcome = train(request)
        except UserError as error:
            yield {"room": room, "refused": str(error), "left": [str(path) for path in disk.iterdir()]}
        else:
            found = describe_folder(outcome.folder)
            yield {"room": room, "status": outcome.status, "error": outcome.manifest["error"], **found}
            if outcome.status == "completed":
                return
            if room % (4 * STEP_KB) == 0:  # resume on a larger disk
                subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
                resumed = resume(open_run(outcome.folder), notify=lambda line: None)
                yield {"room": room, "resumed": resumed.status, **describe_folder(outcome.folder)}
        room += STEP_KB


def main() -> None:
    at, images = Path(sys.argv[1]), sys.argv[2]
    reference = train(compose(shallow_overrides(images, at / "reference")))
    print(json.dumps({"reference": describe_folder(reference.folder)}), flush=True)
    disk = at / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    for found in train_on_growing_disk(images, disk):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
