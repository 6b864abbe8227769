"""Use completed runs: predict, evaluate, calibrate, export, serve.

May import `sweeps` and what lies below it.
Public names: `predictor.open_predictor`, `export.export`.
"""
