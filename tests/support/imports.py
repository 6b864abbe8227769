"""Make imports that tests do not need stay away."""

import pytest
from lightning_utilities.core import imports


def hide_from_torchmetrics(*packages: str) -> None:
    """Make packages look absent to torchmetrics, which imports SciPy and matplotlib wherever they are installed.

    It is what a run without the extras has, and saves two seconds of each worker. Whoever imports them finds them.
    """
    is_available, is_met = imports.package_available, imports.RequirementCache.__bool__
    patch = pytest.MonkeyPatch()  # never undone
    patch.setattr(imports, "package_available", lambda name: name not in packages and is_available(name))
    patch.setattr(imports.RequirementCache, "__bool__", lambda self: self.requirement not in packages and is_met(self))
