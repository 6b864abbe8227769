"""How tests ask for a run."""

from pathlib import Path

from copycat.config.compose import compose
from copycat.runs.train import Outcome, train

QUIET = ("callbacks=none", "logger=none")


def run(*words: str, data: Path, at: Path) -> Outcome:
    """Train on a folder of 8×8 images, with runs landing in a folder of the test's own."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8", f"output_dir={at}"]
    return train(compose([*where, *words]))
