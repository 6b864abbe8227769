"""Propose trials by Optuna: studies, storages, parameters.

May import `sweeps` and what lies below it.
Public names: `proposals`, `study`, `storage`.
"""
