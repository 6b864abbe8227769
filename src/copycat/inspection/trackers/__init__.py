"""Send runs to experiment trackers: Weights & Biases, MLflow, ClearML, CSV files.

May import `records` and what lies below it.
Public names: `tracker.Tracker`, for a tracker of your own, and one logger per module.
"""
