"""Train, sweep and inspect image classifiers from configuration."""

from copycat.config.deferred import defer_packages_of_torchmetrics

__version__ = "0.1.0"

defer_packages_of_torchmetrics()
