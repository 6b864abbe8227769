"""Run many trials of one configuration, and keep their records.

May import `reruns` and what lies below it.
Public names: `start.start_sweep`, `start.open_sweep_folder`, `sweeper.run_sweep`, `engine`, `job`, `sweep_file`.
"""
