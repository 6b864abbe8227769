"""Keep SciPy and matplotlib out of the import of torchmetrics, which imports both wherever they are installed.

Lightning imports torchmetrics, so every run would start a second later for two packages that it does not use. They
look absent while torchmetrics is imported; later requests, such as a metric's `plot`, find them.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import reload
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

PACKAGE, PLOTS = "torchmetrics", "torchmetrics.utilities.plot"
DEFERRED = ("scipy", "matplotlib")


def defer_packages_of_torchmetrics() -> None:
    """Defer SciPy and matplotlib whenever a package imports torchmetrics."""
    if PACKAGE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Find torchmetrics by the usual finders, and wrap its execution."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(PACKAGE)
        sys.meta_path.insert(0, self)  # whoever asks need not import it
        if spec is not None and spec.loader is not None:
            loader, execute = spec.loader, spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                sys.meta_path.remove(self)
                with _hide_packages():
                    execute(module)

            loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextmanager
def _hide_packages() -> Iterator[None]:
    """Have lightning_utilities tell torchmetrics that the packages are not installed."""
    from lightning_utilities.core import imports

    requirement, is_available = imports.RequirementCache, imports.package_available
    imported = False

    class DeferredRequirement(requirement):  # type: ignore[misc, valid-type]
        """Represent a requirement that is unmet while torchmetrics is imported."""

        def __bool__(self) -> bool:
            if self.requirement not in DEFERRED:
                return bool(super().__bool__())
            if not imported or not super().__bool__():
                return False
            if self.requirement == "matplotlib" and not hasattr(sys.modules[PLOTS], "plt"):
                sys.modules[PLOTS].plt = None  # type: ignore[attr-defined] # its import asks once more
                reload(sys.modules[PLOTS])  # into the same namespace, where its functions look for matplotlib
            return True

    imports.RequirementCache = DeferredRequirement  # type: ignore[misc]
    imports.package_available = lambda name: name not in DEFERRED and is_available(name)  # type: ignore[assignment]
    try:
        yield
    finally:
        imports.RequirementCache, imports.package_available = requirement, is_available  # type: ignore[misc]
        imported = True
