"""Run a recorded run again, compare both bit by bit, and name what differs.

May import `inspection` and what lies below it.
Public names: `rerun.rerun`, `comparison.compare`, `expected_results.rerun_experiment`.
"""
