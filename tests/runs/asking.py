"""How tests ask for a run."""

from pathlib import Path

from torch import Tensor, nn

from copycat.config.compose import compose
from copycat.runs.train import Outcome, train

QUIET = ("callbacks=none", "logger=none")


def run(*words: str, data: Path, at: Path) -> Outcome:
    """Train on a folder of 8×8 images, with runs landing in a folder of the test's own."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8", f"output_dir={at}"]
    return train(compose([*where, *words]))


class Spoiler(nn.Module):
    """A network that writes to its input, as an inplace activation at its front would."""

    def __init__(
        self, *, in_features: int, out_features: int, hidden: object, style: object, activation: object
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.sub_(0.5).flatten(1))
        return logits
