"""Make the strategy by which Lightning's Trainer trains on several ranks."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from copycat.config.durations import parse_duration
from copycat.config.worlds import world_size
from copycat.models.classifier import Classifier
from copycat.training.hook_compatibility import MultiStepCallback
from copycat.training.ranks import TIMEOUT, Ranks


def make_strategy(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the Trainer for the ranks that its node asks for.

    One rank is trained as without a strategy, whose bits it has.
    """
    if "strategy" not in trainer:
        return {}
    if world_size(trainer) == 1:
        return {"strategy": "auto", "num_nodes": 1}
    limit = timedelta(seconds=parse_duration(trainer.get("timeout", TIMEOUT)))
    if trainer["strategy"] == "fsdp":
        from copycat.training.sharding import ShardedStrategy  # its imports take half a second

        return {"strategy": ShardedStrategy(timeout=limit)}
    return {"strategy": DDPStrategy(timeout=limit)}


def gather_network(trainer: pl.Trainer, classifier: Classifier) -> None:
    """Replace a network whose weights are spread over ranks by a plain one, for what one rank does alone."""
    if (gather := getattr(trainer.strategy, "gather_network", None)) is not None:
        classifier.network = gather()


class AgreeBetweenEpochs(MultiStepCallback):
    """Let ranks agree before an epoch whether to save or to end; within it they agree beside the loss."""

    def __init__(self, ranks: Ranks) -> None:
        """Agree by these ranks."""
        self._ranks = ranks

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree on what came up since the last step."""
        self._ranks.agree()
