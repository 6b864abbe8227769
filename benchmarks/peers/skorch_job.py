"""Train the lecture's job on skorch, with its default callbacks and its Checkpoint."""

import time

import job
import torch
from skorch import NeuralNetBinaryClassifier
from skorch.callbacks import Checkpoint
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn


def main() -> None:
    """Train and report."""
    options = job.parser(__doc__).parse_args()
    x, y = job.load(options.data, "train")
    x_val, y_val = job.load(options.data, "test")
    torch.manual_seed(options.seed)
    net = NeuralNetBinaryClassifier(
        nn.Sequential(nn.Linear(x.shape[1], 1), nn.Sigmoid()),
        criterion=nn.BCELoss,
        optimizer=torch.optim.SGD,
        lr=options.lr,
        max_epochs=options.epochs,
        batch_size=-1,  # the whole set
        train_split=predefined_split(Dataset(x_val, y_val[:, 0])),
        callbacks=[Checkpoint(dirname="checkpoints")],
    )
    started = time.perf_counter()
    net.fit(x, y[:, 0])
    seconds = time.perf_counter() - started
    job.report("torch", "skorch", "scikit-learn", seconds=seconds, loss=net.history[-1, "train_loss"])


if __name__ == "__main__":
    main()
