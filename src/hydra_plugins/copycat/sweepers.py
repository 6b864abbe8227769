"""Register our sweepers with Hydra's plugin discovery; their modules are imported when a sweep starts."""

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Try every combination of values, by a file in conf/hydra/sweeper/."""

    def __init__(self, **node: Any) -> None:
        """Store the keys of the node."""
        self.node = node

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the sweep's configuration and create its launcher."""
        self.context, self.sweep_config = hydra_context, config
        self.trial_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> None:
        """Run the sweep of the given overrides."""
        from copycat.sweeps.sweeper import run_sweep

        run_sweep(arguments, config=self.sweep_config, context=self.context, launcher=self.trial_launcher)


class OptunaSweeper(GridSweeper):
    """Search the space by a sampler of Optuna."""


class BestSweeper(GridSweeper):
    """Search the best of a portfolio of experiments, measured by nested cross-validation."""
