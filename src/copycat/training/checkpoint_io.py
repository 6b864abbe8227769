"""Lightning's checkpoints, written whole and in the background."""

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from copycat.models.classifier import DivergedError
from copycat.records.background_writer import Disk
from copycat.records.checkpoint_file import with_signature
from copycat.records.run_folder import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, flushed before they get their name; none with weights that are not finite.

    A checkpoint is a zip archive, and carries a hash of itself in the archive's comment, and a signature over that: it
    is read by torch.load like any other, and a file that was cut short or changed is noticed.

    Args:
        disk: writes them, while training goes on.
    """

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        self.holds = False
        """Whether what is to be saved is kept in memory, in place of what was kept before."""
        self.held: tuple[Path, dict[str, Any]] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise DivergedError(f"weight {name} is not finite after epoch {checkpoint['epoch']}")
        if self.holds:
            self.held = Path(path), copied(checkpoint)
            return
        buffer = BytesIO()
        torch.save(checkpoint, buffer)  # here and now: training goes on to change what is in it
        self.disk.later(partial(_write, Path(path), buffer.getvalue()))

    def write_held(self) -> None:
        """Save what is held, if something is."""
        held, self.held = self.held, None
        if held is not None:
            path, checkpoint = held
            self.save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return found


def _write(path: Path, archive: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir()  # and not its parents: a run folder that was deleted stays so
    write_whole(path, with_signature(archive))


def copied(value: Any) -> Any:
    """Containers and tensors anew: training goes on to change them, and a view would bring along all that it views."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [copied(inner) for inner in value]
    return value
