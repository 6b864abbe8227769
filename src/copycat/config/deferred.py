"""Keep packages that a run does not use out of the imports of torchmetrics and TensorBoard.

torchmetrics, which Lightning imports, imports SciPy and matplotlib wherever they are installed: every run would start a
second later. They look absent while torchmetrics is imported; later requests, such as a metric's `plot`, find them.
TensorBoard imports boto3 likewise, for S3, which takes a tenth of a second: it is loaded when it is used.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import reload
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

PLOTS = "torchmetrics.utilities.plot"
DEFERRED = ("scipy", "matplotlib")


def defer_unused_packages() -> None:
    """Defer SciPy, matplotlib and boto3 whenever torchmetrics and TensorBoard are imported."""
    for name, deferring in {
        "torchmetrics": _hide_packages,
        "tensorboard.compat.tensorflow_stub.io.gfile": _load_boto3_lazily,
    }.items():
        if name not in sys.modules:
            sys.meta_path.insert(0, _Finder(name, deferring))


class _Finder:
    """Find a module by the usual finders, and execute it in a context."""

    def __init__(self, name: str, context: Callable[[], AbstractContextManager[None]]) -> None:
        self.name, self.context = name, context

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(self.name)
        sys.meta_path.insert(0, self)  # whoever asks need not import it
        if spec is not None and spec.loader is not None:
            loader, execute = spec.loader, spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                sys.meta_path.remove(self)
                with self.context():
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


class _LazyModule(ModuleType):
    """Execute a module when one of its names is used; importlib's LazyLoader does so at the next import already."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


@contextmanager
def _load_boto3_lazily() -> Iterator[None]:
    """Let an import of boto3, where it is installed, load it when one of its names is used."""
    if "boto3" not in sys.modules and (spec := find_spec("boto3")) is not None:
        sys.modules["boto3"] = module = module_from_spec(spec)
        module.__class__ = _LazyModule
    yield
