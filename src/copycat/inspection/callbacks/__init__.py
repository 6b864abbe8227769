"""Measure a run while it trains.

May import `inspection.tensorboard`, `training` and what lies below it.
Public names: `inspector.Inspector`, and a class for each option of `callbacks`.
"""
