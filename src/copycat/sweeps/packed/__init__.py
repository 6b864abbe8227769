"""Train many trials as one stacked network.

May import `sweeps` and what lies below it.
Public names: `launcher.PackLauncher`, `eligibility`.
"""
