"""Write Lightning's checkpoints atomically and in the background."""

from cmath import isfinite  # of complex numbers too
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from copycat.config.atomic_write import write_whole
from copycat.models.divergence import DivergedError
from copycat.records.background_writer import BackgroundWriter
from copycat.records.checkpoint_file import with_signature

SCALARS = {bool, int, float, str, type(None)}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Save checkpoints atomically; refuse weights that are not finite.

    Those in the run's folder of checkpoints are written in the background, others before `save_checkpoint` returns: a
    callback of another package may read or remove them at once. A checkpoint is a zip archive whose comment holds a
    hash of the archive, and a signature over the hash: torch.load reads it like any other, and damage is detected.
    """

    def __init__(self, writer: BackgroundWriter, folder: Path) -> None:
        """Keep no checkpoint in memory; `folder` is that of the run's own checkpoints."""
        super().__init__()
        self.writer, self.folder = writer, folder
        self.pending: tuple[Path, dict[str, Any]] | None = None
        """A checkpoint that is kept in memory, and where it will be written."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save a checkpoint.

        Raises:
            DivergedError: where a weight is not finite.
        """
        check_finite(checkpoint)
        buffer = BytesIO()
        torch.save(checkpoint, buffer)  # not in the background: training changes the tensors
        path, is_own = Path(path), Path(path).parent == self.folder
        run = self.folder.parent
        if not is_own and (run.is_dir() or not path.is_relative_to(run)):  # a deleted run folder must stay deleted
            path.parent.mkdir(parents=True, exist_ok=True)
        self.writer.submit(partial(_write, path, buffer.getvalue()))
        if not is_own:
            self.writer.wait()

    def write_pending(self) -> None:
        """Save the checkpoint that is kept in memory, if any."""
        pending, self.pending = self.pending, None
        if pending is not None:
            path, checkpoint = pending
            self.save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load tensors and plain containers, to the CPU unless asked otherwise."""
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return checkpoint


def check_finite(checkpoint: Mapping[str, Any]) -> None:
    """Raise a DivergedError where a weight of a checkpoint is not finite."""
    for name, tensor in checkpoint["state_dict"].items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not is_finite(tensor):
            raise DivergedError(f"weight {name} is not finite after epoch {checkpoint['epoch']}")


def is_finite(tensor: Tensor) -> bool:
    """Return whether all numbers are finite; a finite sum, which is computed much faster, says so."""
    total = tensor.sum() if tensor.ndim else tensor
    return isfinite(total.item()) or bool(tensor.isfinite().all())


def _write(path: Path, archive: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir()  # without parents, for the same reason
    write_whole(path, with_signature(archive))


def deep_copy(value: Any) -> Any:
    """Copy containers and tensors, since training changes them, and a view would keep its whole base alive."""
    if type(value) in SCALARS:
        return value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict | Mapping):
        return {key: inner if type(inner) in SCALARS else deep_copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [deep_copy(inner) for inner in value]
    return value
