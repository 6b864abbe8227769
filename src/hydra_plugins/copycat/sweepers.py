"""Hands our sweepers to Hydra's discovery. They are imported when a sweep starts, not whenever Hydra looks around."""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Each value with each. Its keys are in conf/hydra/sweeper/."""

    def __init__(self, **node: Any) -> None:
        self.node = node

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.whole = hydra_context, config
        self.starts = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> None:
        from copycat.sweeps.sweeper import run_sweep

        run_sweep(arguments, config=self.whole, context=self.context, launcher=self.starts)


class OptunaSweeper(GridSweeper):
    """A search."""
