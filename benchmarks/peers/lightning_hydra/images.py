"""Load the lecture's images as a DataModule."""

from pathlib import Path
from typing import Any

import h5py
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset


class CatsDataModule(pl.LightningDataModule):
    """Load images [B, 12288] float32 in [0, 1], channels first, and labels [B, 1] float32; the 50 test images validate.

    Args:
        folder: of the two h5 files.
        batch_size: None takes a whole part.
        num_workers: of the loaders.
        pin_memory: of the loaders.
    """

    def __init__(
        self, folder: str, batch_size: int | None = None, num_workers: int = 0, pin_memory: bool = False
    ) -> None:
        """Store the settings."""
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.train_set: TensorDataset | None = None
        self.val_set: TensorDataset | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read both files once."""
        if self.train_set is None:
            self.train_set, self.val_set = self._read("train"), self._read("test")

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the training images."""
        return self._loader(self.train_set)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the validation images."""
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the validation images."""
        return self._loader(self.val_set)

    def _read(self, part: str) -> TensorDataset:
        with h5py.File(Path(self.hparams["folder"]) / f"{part}_catvnoncat.h5") as file:
            images, labels = (torch.from_numpy(file[f"{part}_set_{name}"][:]) for name in "xy")
        return TensorDataset(images.permute(0, 3, 1, 2).flatten(1).float() / 255, labels.float()[:, None])

    def _loader(self, images: TensorDataset) -> DataLoader[Any]:
        return DataLoader(
            images,
            batch_size=self.hparams["batch_size"] or len(images),
            num_workers=self.hparams["num_workers"],
            pin_memory=self.hparams["pin_memory"],
        )
