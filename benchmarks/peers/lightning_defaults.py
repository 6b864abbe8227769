"""Train the lecture's job on Lightning with all its defaults: bar, summary, TensorBoard, a checkpoint per epoch."""

import time

import job
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import BinaryAccuracy


class LogisticRegression(pl.LightningModule):
    """Classify [B, in_features] float to [B, 1] probabilities."""

    def __init__(self, in_features: int, lr: float) -> None:
        """Build the layer and the metrics."""
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(in_features, 1), nn.Sigmoid())
        self.criterion = nn.BCELoss()
        self.train_accuracy, self.val_accuracy = BinaryAccuracy(), BinaryAccuracy()

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities."""
        return self.network(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch, and log it."""
        x, y = batch
        outputs = self(x)
        loss = self.criterion(outputs, y)
        self.train_accuracy(outputs, y)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", self.train_accuracy, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log loss and accuracy of a batch."""
        x, y = batch
        outputs = self(x)
        self.val_accuracy(outputs, y)
        self.log("val/loss", self.criterion(outputs, y), prog_bar=True)
        self.log("val/accuracy", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return SGD."""
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])


def main() -> None:
    """Train and report."""
    options = job.parser(__doc__).parse_args()
    train, val = (TensorDataset(*map(torch.from_numpy, job.load(options.data, part))) for part in ("train", "test"))
    pl.seed_everything(options.seed)
    model = LogisticRegression(in_features=train.tensors[0].shape[1], lr=options.lr)
    loaders = DataLoader(train, batch_size=len(train)), DataLoader(val, batch_size=len(val))
    trainer = pl.Trainer(max_epochs=options.epochs)
    started = time.perf_counter()
    trainer.fit(model, *loaders)
    seconds = time.perf_counter() - started
    loss = trainer.callback_metrics["train/loss"].item()
    job.report("torch", "pytorch-lightning", "torchmetrics", "tensorboard", seconds=seconds, loss=loss)


if __name__ == "__main__":
    main()
