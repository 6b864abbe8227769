"""The loop that one writes by hand to get what a Copycat run leaves: plain PyTorch, and nothing of Copycat.

    python benchmarks/loop.py --data data/catvnoncat [--hidden 13] [--optimizer Adam] [--epochs 8001] [--bare]

Trains on the cats by the lecture's four steps, and writes what a run writes: train loss and accuracy of each epoch to
TensorBoard and to metrics.csv, validation and two checkpoints every few epochs. With --bare it writes nothing. Prints
the seconds from before the first step to after the last record, which the benchmarks hold Copycat's against.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import torch
from torch import Tensor, nn

Part = tuple[Tensor, Tensor]
"""Images [N, …], and labels [N, 1]."""
SHIFT = 4
"""Pixels, at most, that --augment moves an image each way."""


def images(folder: Path, part: str) -> Part:
    """Float32 [N, 3, 64, 64] in [0, 1], and labels float32 [N, 1] in {0, 1}."""
    with h5py.File(folder / f"{part}_catvnoncat.h5") as file:
        pixels, labels = torch.from_numpy(file[f"{part}_set_x"][:]), torch.from_numpy(file[f"{part}_set_y"][:])
    return pixels.permute(0, 3, 1, 2).contiguous().float().div(255), labels.float()[:, None]


def mlp(hidden: list[int], activation: str) -> nn.Sequential:
    """Without hidden layers it is logistic regression. [B, 12288] -> [B, 1] probabilities."""
    layers: list[nn.Module] = []
    for a, b in pairwise([3 * 64 * 64, *hidden]):
        layers += [nn.Linear(a, b), getattr(nn, activation)()]
    return nn.Sequential(*layers, nn.Linear([3 * 64 * 64, *hidden][-1], 1), nn.Sigmoid())


def cnn() -> nn.Sequential:
    """[B, 3, 64, 64] -> [B, 1] probabilities."""
    layers: list[nn.Module] = []
    for a, b in pairwise([3, 16, 32, 64]):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 8 * 8, 1), nn.Sigmoid())


def light(x: Tensor) -> Tensor:
    """Half of the images mirrored, and each shifted; a border that this bares repeats the edge."""
    batch, channels, height, width = x.shape
    rows = (torch.arange(height) + torch.randint(-SHIFT, SHIFT + 1, (batch, 1))).clamp(0, height - 1)
    columns = (torch.arange(width) + torch.randint(-SHIFT, SHIFT + 1, (batch, 1))).clamp(0, width - 1)
    columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    # two to three times as fast as indexing by rows and columns, or as cutting each image from a padded one
    places = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, height * width)
    return x.flatten(2).gather(2, places.expand(-1, channels, -1)).view_as(x)


class Records:
    """What a run leaves in its folder: event files, metrics.csv and checkpoints.

    Args:
        every: epochs from one validation, with its checkpoints, to the next.
    """

    def __init__(
        self, folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, val: Part, every: int
    ) -> None:
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
        figures = {"train/loss": loss, "train/accuracy": accuracy}
        if (epoch + 1) % self.every == 0:
            figures["val/loss"], figures["val/accuracy"] = self.validate()
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

    def validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation images."""
        x, y = self.val
        self.model.eval()
        with torch.no_grad():
            outputs = self.model(x)
            loss = nn.functional.binary_cross_entropy(outputs, y).item()
        self.model.train()
        return loss, ((outputs > 0.5) == (y > 0.5)).float().mean().item()

    def save(self, name: str, epoch: int) -> None:
        state = {"epoch": epoch, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / f"{name}.pt")

    def close(self, epoch: int) -> None:
        self.save("last", epoch)
        self.board.close()
        self.file.close()
        print(file=sys.stderr)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    part: Part,
    *,
    epochs: int,
    size: int,
    augment: Callable[[Tensor], Tensor] | None,
    records: Records | None,
) -> list[float]:
    """The last step's loss of each epoch."""
    criterion, losses = nn.BCELoss(), []
    for epoch in range(epochs):
        right = torch.tensor(0)
        for x, y in zip(*(tensor.split(size) for tensor in part), strict=True):
            outputs = model(x if augment is None else augment(x))
            loss = criterion(outputs, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if records:
                right += ((outputs > 0.5) == (y > 0.5)).sum()
        losses.append(loss.item())
        if records:
            records.epoch(epoch, losses[-1], right.item() / len(part[0]))
    if records:
        records.close(epochs - 1)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the two HDF5 files")
    parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--hidden", type=int, nargs="*", default=[], help="of the mlp; none: logistic regression")
    parser.add_argument("--activation", default="Sigmoid", help="of the mlp; a class of torch.nn")
    parser.add_argument("--optimizer", default="SGD", help="a class of torch.optim")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=8001)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--batch-size", type=int, default=0, help="0: the whole training set; batches in file order")
    parser.add_argument("--augment", action="store_true", help="mirror and shift the training images; for the cnn")
    parser.add_argument("--every", type=int, default=100, help="epochs between validations, and checkpoints")
    parser.add_argument("--bare", action="store_true", help="write nothing, validate nothing")
    parser.add_argument("--folder", type=Path, default=Path("outputs/loop"), help="where the records go")
    parser.add_argument("--json", type=Path, help="where losses and seconds go, for a benchmark")
    asked = parser.parse_args()
    if asked.augment and asked.model != "cnn":
        parser.error("--augment: expected --model cnn beside it, which sees images; got --model mlp, which sees rows")

    parts = {name: images(asked.data, name) for name in ("train", "test")}
    if asked.model == "mlp":
        parts = {name: (x.flatten(1), y) for name, (x, y) in parts.items()}
    torch.manual_seed(asked.seed)
    model = cnn() if asked.model == "cnn" else mlp(asked.hidden, asked.activation)
    optimizer = getattr(torch.optim, asked.optimizer)(model.parameters(), lr=asked.lr)
    records = None
    if not asked.bare:
        records = Records(asked.folder, model=model, optimizer=optimizer, val=parts["test"], every=asked.every)

    began = time.perf_counter()
    losses = train(
        model,
        optimizer,
        parts["train"],
        epochs=asked.epochs,
        size=asked.batch_size or len(parts["train"][0]),
        augment=light if asked.augment else None,
        records=records,
    )
    seconds = time.perf_counter() - began
    print(f"{seconds:.3f} s for {asked.epochs} epochs, loss {losses[-1]:.6f}")
    if asked.json:
        asked.json.write_text(json.dumps({"losses": losses, "seconds": seconds}))


if __name__ == "__main__":
    main()
