"""Have imports do once what they repeat."""

import importlib.metadata
from functools import cache
from importlib.machinery import SourceFileLoader


def keep_entry_points() -> None:
    """Have the entry points of installed packages read once: each Trainer looks for those of Lightning's callbacks."""
    importlib.metadata.entry_points = cache(importlib.metadata.entry_points)  # type: ignore[assignment]


def keep_code() -> None:
    """Have the code of modules read once, for forks that import them anew."""
    SourceFileLoader.get_code = cache(SourceFileLoader.get_code)  # type: ignore[method-assign]
