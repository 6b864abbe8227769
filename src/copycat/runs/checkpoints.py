"""Checkpoints and weights, written whole or not at all."""

from collections.abc import Mapping
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import save
from torch import Tensor

from copycat.models.classifier import DivergedError
from copycat.runs.folder import write_whole


class SparseCheckpoint(ModelCheckpoint):
    """Lightning's copies every metric at each epoch, due or not; this one only when a checkpoint is due.

    Without a metric to watch it is of the last epoch, whether one was due then or not.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = not self._every_n_epochs or (trainer.current_epoch + 1) % self._every_n_epochs == 0
        if due:
            super().on_train_epoch_end(trainer, pl_module)
        elif self.monitor is None and (trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs):
            trainer.save_checkpoint(self.format_checkpoint_name(self._monitor_candidates(trainer)))


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, flushed before they get their name; none with weights that are not finite."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise DivergedError(f"weight {name} is not finite after epoch {checkpoint['epoch']}")
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())


def save_weights(state: Mapping[str, Tensor], path: Path) -> str:
    """Write a state dict as safetensors; its digest."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    content = save(tensors)
    write_whole(path, content)
    return blake2b(content, digest_size=16).hexdigest()
