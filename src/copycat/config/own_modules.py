"""Import the user's own modules from the working directory, only for targets that name them."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

_ALLOWED: set[str] = set()
"""Top-level modules that are not installed and that targets of the user's own configurations name."""


def allow_own_modules(config: Mapping[str, Any]) -> None:
    """Allow the modules that a configuration's targets name to be imported from the working directory.

    Call it only for the user's own configurations: composed from the command line, or read from a run folder that the
    user signed.
    """
    for target in find_targets(config):
        name = target.partition(".")[0]
        if name not in sys.modules and find_spec(name) is None:
            _ALLOWED.add(name)


@contextmanager
def own_module_importable(target: str) -> Iterator[None]:
    """Make a target's module importable from the working directory, where that is allowed and it is not installed.

    A console script has its own folder on sys.path where `python` has the working directory. If the working directory
    stayed on sys.path, a file in it named like an optional dependency of some package would be imported in its place.
    """
    name = target.partition(".")[0]
    if name not in _ALLOWED or name in sys.modules:
        yield
        return
    path = list(sys.path)
    sys.path.append(os.getcwd())  # last: a file there hides no installed package
    try:
        yield
    finally:
        sys.path[:] = path


def find_targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` of a configuration, however deep."""
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from find_targets(value)
