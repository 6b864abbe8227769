"""Hold a trial that is to run in a pack, and what is built or loaded for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copycat.config.compose import Request
from copycat.records.trial_file import Trial
from copycat.sweeps.job import Job
from copycat.training.checkpoints import CHECKPOINT_KEY
from copycat.training.components import RunComponents
from copycat.training.stopping import Pruner


@dataclass
class PackedTrial:
    """Hold a trial that is to run, and what is built or loaded for it."""

    job: Job
    record: Trial
    folder: Path
    request: Request
    settings: Mapping[str, Any]
    """The node `sweep`."""
    pruner: Pruner | None = None
    parts: RunComponents = field(init=False, repr=False)
    """Built by `Preparation.prepare`."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Manifest of a run that was started before; empty if it was not."""
    checkpoint: dict[str, Any] | None = None
    """Checkpoint that such a run resumes from; None to start from epoch 0."""

    @property
    def pack(self) -> list[int] | None:
        """Return the numbers of the trials in the pack that started the run; None for a new run."""
        numbers: list[int] | None = self.manifest.get("provenance", {}).get("pack")
        return numbers

    @property
    def finished(self) -> bool:
        """Return whether such a run had ended its training, and only its last records are missing."""
        return self.checkpoint is not None and bool(self.checkpoint[CHECKPOINT_KEY]["finished"])

    @property
    def epoch(self) -> int:
        """Return the epoch at which training starts."""
        return 0 if self.checkpoint is None else int(self.checkpoint[CHECKPOINT_KEY]["epoch"])
