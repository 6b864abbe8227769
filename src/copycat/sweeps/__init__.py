"""Run many trials of one configuration, and keep their records.

May import `reruns` and what lies below it.
Public names: `start.begin`, `engine`, `sweep_file`.
"""
