"""Run trials in worker processes or as Ray tasks.

May import `sweeps` and what lies below it.
Public names: `processes.Pool`, `ray_tasks.run_in_cluster`, `submitit_jobs.run_as_jobs`, `trial.run_trial`.
"""
