"""Run trials as jobs of submitit: of SLURM, or of local processes to try a sweep without a cluster."""

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from submitit import AutoExecutor, Job
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.sweeps.engine import Runner
from copycat.sweeps.job import Job as Trial
from copycat.sweeps.launchers.trial import INTERRUPTED, compose_and_run, get_hydra_overrides

SHARED_PARAMETERS = ("name", "timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "stderr_to_stdout")
"""Parameters that all of submitit's clusters know; the names of others start with their cluster's."""
POLL_SECONDS = 0.5
"""Seconds between two looks for results; each costs one file check per job."""


def run_as_jobs(
    runner: Runner,
    config: DictConfig,
    *,
    cluster: str,
    folder: str,
    parameters: Mapping[str, Any],
    max_submitted: int | None,
) -> None:
    """Run trials as jobs until none is left; trials that start together are one job array.

    Args:
        runner: of the sweep.
        config: of the sweep, with Hydra's node.
        cluster: submitit's name of it: slurm or local.
        folder: for scripts, results and logs of the jobs.
        parameters: of each job, by submitit's names; None for the cluster's default.
        max_submitted: maximum number of submitted trials; None for the sweeper's `max_batch_size`, or all.

    Raises:
        UserError: if there is no such cluster, or it refuses the jobs.
        KeyboardInterrupt: if a signal ended the sweep; its jobs are canceled.
    """
    logging.getLogger("submitit").setLevel(logging.ERROR)  # it warns of each look at a cluster without accounting
    max_submitted = max_submitted or config.hydra.sweeper.get("max_batch_size")
    hydra_overrides = get_hydra_overrides(config)
    pending: dict[Job[str | None], Trial] = {}
    try:
        executor = AutoExecutor(folder, cluster=cluster)
        executor.update_parameters(
            **{
                key if key in SHARED_PARAMETERS else f"{cluster}_{key}": value
                for key, value in parameters.items()
                if value is not None
            }
        )
        while True:
            trials: list[Trial] = []
            while (max_submitted is None or len(pending) + len(trials) < max_submitted) and (trial := runner.next()):
                trials.append(trial)
            if trials:
                with executor.batch():
                    words = [[*hydra_overrides, *trial.launch_overrides] for trial in trials]
                    jobs = [executor.submit(_run_in_job, one, os.getcwd(), list(sys.path)) for one in words]
                pending.update(zip(jobs, trials, strict=True))
            if not pending:
                return
            while not (done := [job for job in pending if job.done()]):
                time.sleep(POLL_SECONDS)
            for job in done:
                runner.mark_done(pending.pop(job), _problem(job))
    except (FailedSubmissionError, FailedJobError, RuntimeError, NameError) as error:
        raise UserError(f"hydra/launcher: expected trials to be started; {first_line(error)}.") from error
    finally:
        for job in pending:
            job.cancel(check=False)


def _run_in_job(overrides: list[str], folder: str, path: list[str]) -> str | None:
    """Run a trial in a job; all machines of the cluster share the sweep's working directory."""
    os.chdir(folder)
    sys.path[:] = list(dict.fromkeys([*path, *sys.path]))
    return compose_and_run(overrides)


def _problem(job: Job[str | None]) -> str | None:
    """Return why a job did not end its trial; an interrupted one, preempted or out of time, runs again."""
    try:
        result = job.result()
    except (UncompletedJobError, FailedJobError) as error:
        return f"job {job.job_id}: {first_line(error)} (log: {Path(job.paths.stderr).name})"
    return f"job {job.job_id} was ended by the cluster" if result == INTERRUPTED else result
