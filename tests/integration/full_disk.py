"""Run by test_faults.py in a mount namespace of its own: full_disk.py FOLDER IMAGES

Makes the same run again and again on a disk that has one page more each time, so that each write that takes room fails
once, and prints a line of JSON for each.
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
from copycat.runs.checkpoint_file import damage
from copycat.runs.folder import read_manifest
from copycat.runs.history import read_history
from copycat.runs.resume import resume
from copycat.runs.train import train

PAGE = 4
"""KB: what a tmpfs gives room by."""


def words(images: str, at: Path) -> list[str]:
    where = ["data=folder", f"data.root={images}", "data.image_size=8", f"output_dir={at}"]
    return [*where, "model=shallow", "model.hidden=[20]", "trainer.max_epochs=4", "trainer.threads=1"]


def seen(folder: Path) -> dict[str, Any]:
    """What a reader of the folder finds."""
    points = sum(
        1 for file in folder.rglob("events.out.*") for _ in EventFileLoader(str(file)).Load()
    )  # raises where a record is damaged otherwise than by being cut short
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


def with_more_and_more_room(images: str, disk: Path) -> Iterator[dict[str, Any]]:
    room = PAGE
    while True:
        for left in disk.iterdir():
            shutil.rmtree(left)
        subprocess.run(["mount", "-o", f"remount,size={room}k", str(disk)], check=True)
        try:
            outcome = train(compose(words(images, disk / "out")))
        except UserError as error:
            yield {"room": room, "refused": str(error), "left": [str(path) for path in disk.iterdir()]}
        else:
            found = seen(outcome.folder)
            yield {"room": room, "status": outcome.status, "error": outcome.manifest["error"], **found}
            if outcome.status == "completed":
                return
            if room % (8 * PAGE) == 0:  # with room made, it goes on
                subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
                resumed = resume(outcome.folder, say=lambda line: None)
                yield {"room": room, "resumed": resumed.status, **seen(outcome.folder)}
        room += PAGE


def main() -> None:
    at, images = Path(sys.argv[1]), sys.argv[2]
    reference = train(compose(words(images, at / "reference")))
    print(json.dumps({"reference": seen(reference.folder)}), flush=True)
    disk = at / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    for found in with_more_and_more_room(images, disk):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
