"""Train in plain PyTorch, by the lecture's loop, and compare its losses with those that a run records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.records.metrics_csv import read_history
from copycat.training.train import RunResult, train
from tests.support.runs import compose_quickly

Make = Callable[..., Optimizer]
Set = tuple[Tensor, Tensor]
"""Images float32 [N, 3, H, W] in [0, 1] and labels int64 [N]."""


def with_momentum(parameters: Any) -> Optimizer:
    return torch.optim.SGD(parameters, momentum=0.9)


def with_nesterov(parameters: Any) -> Optimizer:
    return torch.optim.SGD(parameters, momentum=0.9, nesterov=True)


DENSE: dict[str, Make] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "asgd": torch.optim.ASGD,
    "lbfgs": torch.optim.LBFGS,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
    "sgd": torch.optim.SGD,
    "momentum": with_momentum,
    "nesterov": with_nesterov,
}
QUICK = ["callbacks=none", "logger=none", "trainer.accelerator=cpu", "data.shuffle=false"]


def build_classifier_by_hand(
    hidden: Sequence[int], *, pixels: int, outputs: int = 1, activation: type[nn.Module] = nn.Sigmoid
) -> Any:
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(pixels, width), activation()]
        pixels = width
    layers.append(nn.Linear(pixels, outputs))
    return nn.Sequential(*layers, *([nn.Sigmoid()] if outputs == 1 else []))


class Loop:
    """The lecture's loop; `losses` has the last step's loss of each epoch."""

    def __init__(
        self,
        model: nn.Module,
        data: Set,
        make: Make,
        *,
        epochs: int,
        size: int = 0,
        clip: Callable[[Any], Any] = lambda parameters: None,
        accumulate: int = 1,
        schedule: Callable[[Optimizer], Any] | None = None,
        each_step: bool = False,
        val: Set | None = None,
        val_every: int = 1,
    ) -> None:
        self.model, self.losses, self.rates = model, list[float](), list[float]()
        self.binary = any(isinstance(module, nn.Sigmoid) for module in list(model.children())[-1:])
        optimizer = make(model.parameters())
        scheduler = schedule(optimizer) if schedule else None
        images, labels = data
        size = size or len(labels)
        batches = list(zip(torch.split(images, size), torch.split(labels, size), strict=True))
        for epoch in range(epochs):
            self.rates.append(optimizer.param_groups[0]["lr"])
            for place, (x, y) in enumerate(batches, start=1):
                if isinstance(optimizer, torch.optim.LBFGS):

                    def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
                        optimizer.zero_grad()
                        loss = self.cost(x, y)
                        loss.backward()  # type: ignore[no-untyped-call]
                        return loss

                    loss = optimizer.step(closure)  # type: ignore[no-untyped-call]
                else:
                    if (place - 1) % accumulate == 0:
                        optimizer.zero_grad()
                    loss = self.cost(x, y)
                    (loss / accumulate).backward()  # type: ignore[no-untyped-call]
                    if place % accumulate == 0 or place == len(batches):
                        clip(model.parameters())
                        optimizer.step()
                if each_step:
                    scheduler.step()  # type: ignore[union-attr]
            self.losses.append(loss.item())
            if isinstance(scheduler, ReduceLROnPlateau):
                assert val is not None
                if (epoch + 1) % val_every == 0:
                    with torch.no_grad():
                        scheduler.step(self.cost(*val).item())
            elif scheduler is not None and not each_step:
                scheduler.step()

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        if self.binary:
            loss: Tensor = nn.BCELoss()(self.model(x), y.float()[:, None])
        else:
            loss = nn.CrossEntropyLoss()(self.model(x), y)
        return loss


def read_images(root: Path, part: str) -> Set:
    files = [(path, label) for label, c in enumerate(sorted((root / part).iterdir())) for path in sorted(c.iterdir())]
    pixels = np.stack([np.asarray(Image.open(path)) for path, _ in files]).transpose(0, 3, 1, 2)
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255)), torch.tensor([label for _, label in files])


def train_quick(root: Path, out: Path, *words: str) -> RunResult:
    source = ["data=folder", f"data.root={root}", "data.image_size=8"]
    outcome = train(compose_quickly([*source, *QUICK, f"output_dir={out}", *words]))
    assert outcome.status == "completed", outcome.manifest["error"]
    return outcome


def read_loss_bits(outcome: RunResult) -> list[str]:
    return format_bits(row["train/loss"] for row in read_history(outcome.folder))


def format_bits(losses: Any) -> list[str]:
    """As hexadecimal, so that a failure shows both the bit and about what it is worth."""
    return [np.float32(loss).tobytes()[::-1].hex() + f" {loss:.9g}" for loss in losses]
