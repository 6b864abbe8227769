"""Copycat trains, sweeps, inspects and exactly reruns image classifiers from configuration."""

__version__ = "0.1.0"
