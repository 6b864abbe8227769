"""Train a sweep in spawned workers, and once more as a pack, on the folder of images that is named."""

import sys

from commands import call  # type: ignore[import-not-found]

if __name__ == "__main__":  # workers import this file too
    words = ["-m", "data=folder", f"data.root={sys.argv[1]}", "data.image_size=8", "optimizer.lr=0.1,0.01"]
    launchers = {
        "workers": ["hydra/launcher=processes", "hydra.launcher.workers=1"],
        "packed": ["hydra/launcher=packed"],
    }
    for folder, launcher in launchers.items():
        call("train", *words, "trainer.max_epochs=2", *launcher, f"sweep.folder={folder}")
