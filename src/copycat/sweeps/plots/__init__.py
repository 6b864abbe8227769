"""Draw what a sweep found.

May import `sweeps` and what lies below it.
Public names: `files`.
"""
