"""Register our launchers with Hydra's plugin discovery; their modules are imported when a sweep starts."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StreamingLauncher(Launcher):
    """Take trials from Copycat's sweepers, as it becomes free for them."""

    package: str | None = None
    """Optional package that it needs; checked before the sweep has a folder."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the configuration of the sweep."""
        self.config = config

    @abstractmethod
    def stream(self, runner: Any) -> None:
        """Run trials until none remains."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse batches of trials from sweepers of other packages."""
        raise NotImplementedError("it takes trials from Copycat's sweepers")


class ProcessesLauncher(StreamingLauncher):
    """Run trials in worker processes on this machine, by conf/hydra/launcher/processes.yaml."""

    def __init__(self, *, workers: int | None, threads: int | None) -> None:
        """Store the keys of the node."""
        self.workers, self.threads = workers, threads

    def stream(self, runner: Any) -> None:
        """Run trials one by one as workers become free, until none remains."""
        from copycat.sweeps.launchers.processes import WorkerPool

        with WorkerPool(self.config, workers=self.workers, threads=self.threads) as pool:
            pool.run(runner)


class PackedLauncher(StreamingLauncher):
    """Train many trials as one network, by conf/hydra/launcher/packed.yaml."""

    def __init__(self, *, max_trials_per_pack: int | None) -> None:
        """Store the keys of the node."""
        self.max_trials_per_pack = max_trials_per_pack

    def stream(self, runner: Any) -> None:
        """Run all trials that are ready, in packs, until none remains."""
        from copycat.sweeps.packed.launcher import PackLauncher

        PackLauncher(self.config, max_trials_per_pack=self.max_trials_per_pack).run(runner)


class RayLauncher(StreamingLauncher):
    """Run trials as tasks of a Ray cluster, by conf/hydra/launcher/ray.yaml."""

    package = "ray"

    def __init__(self, *, init: Any, remote: Any, max_submitted: int | None) -> None:
        """Store the keys of the node."""
        self.init, self.remote, self.max_submitted = init, remote, max_submitted

    def stream(self, runner: Any) -> None:
        """Run trials as the cluster has capacity, until none remains."""
        from copycat.sweeps.launchers.ray_tasks import run_in_cluster

        run_in_cluster(runner, self.config, init=self.init, remote=self.remote, max_submitted=self.max_submitted)


class SubmititLauncher(StreamingLauncher):
    """Run trials as jobs of submitit, by conf/hydra/launcher/submitit_slurm.yaml and submitit_local.yaml."""

    package = "submitit"

    def __init__(self, *, cluster: str, submitit_folder: str, max_submitted: int | None, **parameters: Any) -> None:
        """Store the keys of the node; `parameters` have submitit's names, without the cluster's prefix."""
        self.cluster, self.folder, self.max_submitted, self.parameters = (
            cluster,
            submitit_folder,
            max_submitted,
            parameters,
        )

    def stream(self, runner: Any) -> None:
        """Submit trials and wait for them, until none remains."""
        from copycat.sweeps.launchers.submitit_jobs import run_as_jobs

        run_as_jobs(
            runner,
            self.config,
            cluster=self.cluster,
            folder=self.folder,
            parameters=self.parameters,
            max_submitted=self.max_submitted,
        )
