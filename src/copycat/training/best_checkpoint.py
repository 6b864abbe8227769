"""Save the checkpoint of the best epoch."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from copycat.training.checkpoints import LastCheckpoint
from copycat.training.lightning_internals import make_state_key, read_metrics


class BestCheckpoint(Checkpoint):
    """Save the checkpoint of the epoch with the best value of a metric.

    Args:
        dirpath: folder of the checkpoints.
        monitor: name of the metric.
        mode: `min` or `max`.
        filename: name without its extension.
        every_n_epochs: epochs between comparisons.
    """

    def __init__(
        self, dirpath: str, *, monitor: str, mode: str, filename: str = "best", every_n_epochs: int = 1
    ) -> None:
        """Start without a best value."""
        self.path = Path(dirpath, f"{filename}.ckpt")
        self.monitor, self.mode, self.every_n_epochs = monitor, mode, every_n_epochs
        self.best: Tensor | None = None
        self.observes = (monitor,)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, or let the last checkpoint be copied, where the value is the best so far."""
        value = read_metrics(trainer).get(self.monitor)
        if value is None or (trainer.current_epoch + 1) % self.every_n_epochs or not self.is_better(value):
            return
        callbacks: Any = getattr(trainer, "callbacks")  # noqa: B009, set by a connector: mypy does not see it
        last = next((callback for callback in callbacks if isinstance(callback, LastCheckpoint)), None)
        if last is not None:
            last.copy_to = self.path  # copied from the last checkpoint where both are due: serialized once
        else:
            trainer.save_checkpoint(self.path, weights_only=False)

    def is_better(self, value: Tensor) -> bool:
        """Return whether a value is the best so far, and remember it then."""
        if self.best is not None:
            number, best = value.item(), self.best.item()  # numbers compare faster than tensors
            if not (number < best if self.mode == "min" else number > best):
                return False
        self.best = value.detach().cpu()
        return True

    def supports_multi_step(self) -> bool:
        """Return whether it needs validations alone, after which the loop calls its hook."""
        return self.monitor.startswith("val/")

    @property
    def state_key(self) -> str:
        """Return the key of its state, by monitor and mode."""
        return make_state_key(self, monitor=self.monitor, mode=self.mode)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best value."""
        self.best = state_dict["best"]
