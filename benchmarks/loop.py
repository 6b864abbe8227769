"""Train by a hand-written loop in plain PyTorch that leaves what a Copycat run leaves.

    python benchmarks/loop.py --data data/catvnoncat [--hidden 13] [--optimizer Adam] [--epochs 8001] [--bare]

Trains on the cats by the lecture's four steps, and writes what a run writes: train loss and accuracy of each epoch to
TensorBoard and to metrics.csv, validation and two checkpoints every few epochs. With --bare it writes nothing. Prints
the seconds from before the first step to after the last record, with which the benchmarks compare Copycat's.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import h5py
import torch
from torch import Tensor, nn

Part = tuple[Tensor, Tensor]
"""Images [N, …], and labels [N, 1]."""
SHIFT = 4
"""Largest shift by --augment, in pixels."""


def images(folder: Path, part: str) -> Part:
    """Return float32 images [N, 3, 64, 64] in [0, 1], and float32 labels [N, 1] in {0, 1}."""
    with h5py.File(folder / f"{part}_catvnoncat.h5") as file:
        pixels, labels = torch.from_numpy(file[f"{part}_set_x"][:]), torch.from_numpy(file[f"{part}_set_y"][:])
    return pixels.permute(0, 3, 1, 2).contiguous().float().div(255), labels.float()[:, None]


def mlp(hidden: list[int], activation: str) -> nn.Sequential:
    """Return an MLP, [B, 12288] -> [B, 1] probabilities; without hidden layers, logistic regression."""
    layers: list[nn.Module] = []
    for a, b in pairwise([3 * 64 * 64, *hidden]):
        layers += [nn.Linear(a, b), getattr(nn, activation)()]
    return nn.Sequential(*layers, nn.Linear([3 * 64 * 64, *hidden][-1], 1), nn.Sigmoid())


def cnn() -> nn.Sequential:
    """Return a CNN, [B, 3, 64, 64] -> [B, 1] probabilities."""
    layers: list[nn.Module] = []
    for a, b in pairwise([3, 16, 32, 64]):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 8 * 8, 1), nn.Sigmoid())


def light(x: Tensor) -> Tensor:
    """Flip half of the images and shift each; an uncovered border repeats the edge."""
    batch, channels, height, width = x.shape
    rows = (torch.arange(height) + torch.randint(-SHIFT, SHIFT + 1, (batch, 1))).clamp(0, height - 1)
    columns = (torch.arange(width) + torch.randint(-SHIFT, SHIFT + 1, (batch, 1))).clamp(0, width - 1)
    columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    # two to three times as fast as indexing by rows and columns, or as cutting each image from a padded one
    places = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, height * width)
    return x.flatten(2).gather(2, places.expand(-1, channels, -1)).view_as(x)


def validate(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return loss and accuracy on the validation images."""
    x, y = part
    model.eval()
    with torch.no_grad():
        outputs = model(x)
        loss = nn.functional.binary_cross_entropy(outputs, y).item()
    model.train()
    return loss, ((outputs > 0.5) == (y > 0.5)).float().mean().item()


class Records:
    """Write what a run leaves in its folder: event files, metrics.csv and checkpoints.

    Args:
        folder: made where it is missing.
        model: the network to validate and save.
        optimizer: saved with it.
        val: validation images and labels.
        every: epochs between validations, with their checkpoints.
    """

    def __init__(
        self, folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, val: Part, every: int
    ) -> None:
        """Open the files."""
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.model, self.optimizer, self.val, self.every = folder, model, optimizer, val, every
        folder.mkdir(parents=True, exist_ok=True)
        self.board = SummaryWriter(str(folder / "tensorboard"))
        self.file = (folder / "metrics.csv").open("w", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerow(["epoch", "train/loss", "train/accuracy", "val/loss", "val/accuracy"])
        self.best = float("inf")
        self.due = 0.0

    def epoch(self, epoch: int, loss: float, accuracy: float) -> None:
        """Record an epoch, and validate and save where it is due."""
        figures = {"train/loss": loss, "train/accuracy": accuracy}
        if (epoch + 1) % self.every == 0:
            figures["val/loss"], figures["val/accuracy"] = validate(self.model, self.val)
            self.save("last", epoch)
            if figures["val/loss"] < self.best:
                self.best = figures["val/loss"]
                self.save("best", epoch)
        for name, value in figures.items():
            self.board.add_scalar(name, value, epoch)
        self.rows.writerow([epoch, *figures.values()])
        if time.perf_counter() >= self.due:
            print(f"\repoch {epoch}, loss {loss:.6f}", end="", file=sys.stderr, flush=True)
            self.due = time.perf_counter() + 0.1

    def save(self, name: str, epoch: int) -> None:
        """Write a checkpoint."""
        state = {"epoch": epoch, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / f"{name}.pt")

    def close(self, epoch: int) -> None:
        """Write the last checkpoint and close the files."""
        self.save("last", epoch)
        self.board.close()
        self.file.close()
        print(file=sys.stderr)


def batches(part: Part, size: int, *, shuffles: bool) -> Iterator[Part]:
    """Yield the batches of an epoch, in file order or in a random one."""
    x, y = part
    if not shuffles:
        yield from zip(x.split(size), y.split(size), strict=True)
        return
    order: Tensor = torch.randperm(len(x))
    for chosen in torch.split(order, size):
        yield x[chosen], y[chosen]


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    part: Part,
    *,
    epochs: int,
    size: int,
    shuffles: bool,
    augment: Callable[[Tensor], Tensor] | None,
    records: Records | None,
    validated: Part | None,
) -> list[float]:
    """Train, and return the last step's loss of each epoch; `validated` is evaluated after each."""
    criterion, losses, validations = nn.BCELoss(), [], []
    for epoch in range(epochs):
        right = torch.tensor(0)
        for x, y in batches(part, size, shuffles=shuffles):
            outputs = model(x if augment is None else augment(x))
            loss = criterion(outputs, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if records:
                right += ((outputs > 0.5) == (y > 0.5)).sum()
        losses.append(loss.item())
        if validated:
            validations.append(validate(model, validated))
        if records:
            records.epoch(epoch, losses[-1], right.item() / len(part[0]))
    if records:
        records.close(epochs - 1)
    return losses


def main() -> None:
    """Train as the command line says, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the two HDF5 files")
    parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--hidden", type=int, nargs="*", default=[], help="of the mlp; none: logistic regression")
    parser.add_argument("--activation", default="Sigmoid", help="of the mlp; a class of torch.nn")
    parser.add_argument("--optimizer", default="SGD", help="a class of torch.optim")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=8001)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--batch-size", type=int, default=0, help="0: the whole training set")
    parser.add_argument("--shuffle", action="store_true", help="draw batches in another order each epoch")
    parser.add_argument("--augment", action="store_true", help="mirror and shift the training images; for the cnn")
    parser.add_argument("--every", type=int, default=100, help="epochs between validations, and checkpoints")
    parser.add_argument("--bare", action="store_true", help="write nothing, validate nothing")
    parser.add_argument("--validate", action="store_true", help="with --bare: validate after each epoch all the same")
    parser.add_argument("--folder", type=Path, default=Path("outputs/loop"), help="where the records go")
    parser.add_argument("--json", type=Path, help="where losses and seconds go, for a benchmark")
    options = parser.parse_args()
    if options.augment and options.model != "cnn":
        parser.error("--augment: expected --model cnn beside it, which sees images; got --model mlp, which sees rows")

    parts = {name: images(options.data, name) for name in ("train", "test")}
    if options.model == "mlp":
        parts = {name: (x.flatten(1), y) for name, (x, y) in parts.items()}
    torch.manual_seed(options.seed)
    model = cnn() if options.model == "cnn" else mlp(options.hidden, options.activation)
    optimizer = getattr(torch.optim, options.optimizer)(model.parameters(), lr=options.lr)
    records = None
    if not options.bare:
        records = Records(options.folder, model=model, optimizer=optimizer, val=parts["test"], every=options.every)

    began = time.perf_counter()
    losses = train(
        model,
        optimizer,
        parts["train"],
        epochs=options.epochs,
        size=options.batch_size or len(parts["train"][0]),
        shuffles=options.shuffle,
        augment=light if options.augment else None,
        records=records,
        validated=parts["test"] if options.validate else None,
    )
    seconds = time.perf_counter() - began
    print(f"{seconds:.3f} s for {options.epochs} epochs, loss {losses[-1]:.6f}")
    if options.json:
        options.json.write_text(json.dumps({"losses": losses, "seconds": seconds}))


if __name__ == "__main__":
    main()
