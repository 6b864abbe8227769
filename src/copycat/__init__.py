"""Copycat trains, sweeps and inspects image classifiers from configuration."""

__version__ = "0.1.0"
