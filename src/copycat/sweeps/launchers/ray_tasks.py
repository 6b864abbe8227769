"""Run trials as tasks of a Ray cluster, which places each as soon as it has room."""

import os
import sys
from collections.abc import Mapping
from contextlib import chdir
from typing import Any

import ray
from omegaconf import DictConfig
from ray.exceptions import RayError

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.sweeps.engine import Runner
from copycat.sweeps.job import Job
from copycat.sweeps.launchers.trial import INTERRUPTED, compose_and_run, get_hydra_overrides


def run_in_cluster(
    runner: Runner, config: DictConfig, *, init: Mapping[str, Any], remote: Mapping[str, Any], max_submitted: int | None
) -> None:
    """Run trials as tasks of a Ray cluster until none is left.

    Args:
        runner: of the sweep.
        config: of the sweep, with Hydra's node.
        init: arguments of `ray.init`, such as an address; without one a cluster starts on this machine.
        remote: arguments of `ray.remote`: what each trial needs, such as num_cpus and num_gpus.
        max_submitted: maximum number of submitted trials; None for as many as the cluster has CPUs for.

    Raises:
        UserError: if there is no such cluster.
    """
    try:
        with chdir(sys.prefix):  # Ray puts the working directory first on the path of its workers
            ray.init(**init)
    except (ConnectionError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"hydra.launcher.init: expected a Ray cluster; {first_line(error)}.") from error
    pending: dict[Any, Job] = {}
    task = ray.remote(**remote)(_run_in_task) if remote else ray.remote(_run_in_task)
    hydra_overrides = get_hydra_overrides(config)
    try:
        if max_submitted is None:
            max_submitted = max(1, int(ray.cluster_resources().get("CPU", 1) / max(remote.get("num_cpus", 1), 1e-3)))
        while True:
            while len(pending) < max_submitted and (job := runner.next()):
                overrides = [*hydra_overrides, *job.launch_overrides]
                pending[task.remote(overrides, os.getcwd(), list(sys.path))] = job
            if not pending:
                return
            (ready, *_), _ = ray.wait(list(pending), num_returns=1)
            runner.mark_done(pending.pop(ready), _problem(ready))
    finally:
        for waiting in pending:
            ray.cancel(waiting)
        ray.shutdown()


def _run_in_task(overrides: list[str], folder: str, path: list[str]) -> str | None:
    """Run a trial in a Ray process; all machines of the cluster share the sweep's working directory."""
    os.chdir(folder)
    sys.path[:] = list(dict.fromkeys([*path, *sys.path]))
    return compose_and_run(overrides)


def _problem(ready: Any) -> str | None:
    try:
        result: str | None = ray.get(ready)
    except RayError as error:
        return f"Ray lost it: {type(error).__name__}"
    if result == INTERRUPTED:
        raise KeyboardInterrupt
    return result
