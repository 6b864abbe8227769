"""Hands our launcher to Hydra's discovery."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ProcessesLauncher(Launcher):
    """Worker processes on this machine. Its keys are in conf/hydra/launcher/processes.yaml."""

    def __init__(self, *, workers: int | None, threads: int | None) -> None:
        self.workers, self.threads = workers, threads

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.whole = config

    def stream(self, runner: Any) -> None:
        """Run trials as they come, until there are none left."""
        from copycat.sweeps.launchers.processes import Pool

        with Pool(self.whole, workers=self.workers, threads=self.threads) as pool:
            pool.run(runner)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        raise NotImplementedError("it takes trials one by one, from Copycat's sweepers")


class PackedLauncher(Launcher):
    """Many trials trained as one. Its keys are in conf/hydra/launcher/packed.yaml."""

    def __init__(self, *, max_trials_per_pack: int | None) -> None:
        self.max_trials_per_pack = max_trials_per_pack

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.whole = config

    def stream(self, runner: Any) -> None:
        """Run trials, as many as there are, until there are none left."""
        from copycat.sweeps.packed.launcher import PackLauncher

        PackLauncher(self.whole, max_trials_per_pack=self.max_trials_per_pack).run(runner)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        raise NotImplementedError("it takes trials from Copycat's sweepers")


class RayLauncher(Launcher):
    """Tasks of a Ray cluster. Its keys are in conf/hydra/launcher/ray.yaml."""

    def __init__(self, *, init: Any, remote: Any, at_once: int | None) -> None:
        self.init, self.remote, self.at_once = init, remote, at_once

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.whole = config

    def stream(self, runner: Any) -> None:
        """Run trials as the cluster has room for them, until there are none left."""
        from copycat.sweeps.launchers.ray_tasks import Cluster

        Cluster(self.whole, init=self.init, remote=self.remote, at_once=self.at_once).run(runner)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        raise NotImplementedError("it takes trials one by one, from Copycat's sweepers")
