"""Plot the results of a sweep.

May import `sweeps` and what lies below it.
Public names: `files`.
"""
