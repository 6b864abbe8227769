"""Train, sweep and inspect image classifiers from configuration.

The names in `__all__` are public, and are imported when they are first used; all else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from copycat.config.deferred import defer_unused_packages
from copycat.config.deferred_compiler import defer_compiler

if TYPE_CHECKING:
    from copycat.api.run import Run, load_run, train
    from copycat.api.sweep import Sweep, load_sweep, read_runs, sweep
    from copycat.api.table import Table
    from copycat.config.compose import Request, compose
    from copycat.config.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "Request",
    "Run",
    "Sweep",
    "Table",
    "UserError",
    "compose",
    "load_run",
    "load_sweep",
    "read_runs",
    "sweep",
    "train",
]
_MODULES = {
    "api.run": ("Run", "load_run", "train"),
    "api.sweep": ("Sweep", "load_sweep", "read_runs", "sweep"),
    "api.table": ("Table",),
    "config.compose": ("Request", "compose"),
    "config.errors": ("UserError",),
}

defer_unused_packages()
defer_compiler()


def __getattr__(name: str) -> Any:
    """Import a public name from its module.

    Raises:
        AttributeError: where it is none.
    """
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"copycat.{module}"), name)
            return value
    raise AttributeError(f"module 'copycat' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
