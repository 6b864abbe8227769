"""Make the strategy by which Lightning's Trainer trains on several ranks."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from copycat.config.durations import parse_duration
from copycat.config.worlds import Place, find_place, world_size
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

        strategy: DDPStrategy | ShardedStrategy = ShardedStrategy(timeout=limit)
    else:
        strategy = DDPStrategy(timeout=limit)
    strategy.cluster_environment = PlacedEnvironment()
    return {"strategy": strategy}


class PlacedEnvironment(ClusterEnvironment):
    """Give Lightning the place that torchrun or srun gave this process: Lightning finds only some of srun's starts."""

    creates_processes_externally = True

    def __init__(self) -> None:
        """Find the place."""
        self._place = find_place() or Place()

    @property
    def main_address(self) -> str:
        """Return the host at which ranks meet."""
        return os.environ["MASTER_ADDR"]

    @property
    def main_port(self) -> int:
        """Return the port at which ranks meet."""
        return int(os.environ["MASTER_PORT"])

    @staticmethod
    def detect() -> bool:
        """Leave detection to Copycat."""
        return False

    def world_size(self) -> int:
        """Return the number of ranks."""
        return self._place.size

    def set_world_size(self, size: int) -> None:
        """Ignore Lightning's number."""

    def global_rank(self) -> int:
        """Return this process's rank."""
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        """Ignore Lightning's number."""

    def local_rank(self) -> int:
        """Return this process's rank on its host."""
        return self._place.local_rank

    def node_rank(self) -> int:
        """Return the number of its host, where hosts have consecutive ranks."""
        return self._place.rank // self._place.local_size


def gather_network(trainer: pl.Trainer, classifier: Classifier) -> None:
    """Replace a network whose weights are spread over ranks by a plain one, for what one rank does alone."""
    if (gather := getattr(trainer.strategy, "gather_network", None)) is not None:
        classifier.network = gather()


class AgreeBetweenSteps(MultiStepCallback):
    """Let ranks agree whether to save or to end where they take no step, beside whose loss they agree."""

    def __init__(self, ranks: Ranks) -> None:
        """Agree by these ranks."""
        self._ranks = ranks

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree on what came up since the last step."""
        self._ranks.agree()

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Agree in an evaluation of the final weights; a validation between epochs is short, and completes."""
        if trainer.state.fn != "fit":
            self._ranks.agree()
