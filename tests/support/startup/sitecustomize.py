"""Make SciPy and matplotlib look absent to torchmetrics, which imports them wherever they are installed.

Python imports this module as it starts where its folder is on PYTHONPATH: so it is in each process that a test starts.
It is what a run without the extras has, and saves a second or two of each process. Whoever imports them finds them.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

HIDDEN = ("scipy", "matplotlib")


class HidesPackages(MetaPathFinder):
    """Hide the packages as torchmetrics is about to be imported; find no module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "torchmetrics":
            sys.meta_path.remove(self)
            hide()


def hide() -> None:
    from lightning_utilities.core import imports

    is_available, is_met = imports.package_available, imports.RequirementCache.__bool__

    def is_shown(requirement: imports.RequirementCache) -> bool:
        return requirement.requirement not in HIDDEN and is_met(requirement)

    imports.package_available = lambda name: name not in HIDDEN and is_available(name)  # type: ignore[assignment]
    imports.RequirementCache.__bool__ = is_shown  # type: ignore[assignment, method-assign]


sys.meta_path.insert(0, HidesPackages())
