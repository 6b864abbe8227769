"""Make imports that tests do not need stay away."""

import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

DYNAMO, LIGHTNING = "torch._dynamo", "pytorch_lightning"


def keep_entry_points() -> None:
    """Have the entry points of installed packages read once: each Trainer looks for those of Lightning's callbacks."""
    importlib.metadata.entry_points = cache(importlib.metadata.entry_points)  # type: ignore[assignment]


def keep_code() -> None:
    """Have the code of modules read once, for forks that import them anew."""
    SourceFileLoader.get_code = cache(SourceFileLoader.get_code)  # type: ignore[method-assign]


def leave_dynamo_out_of_lightning() -> None:
    """Have Lightning, when it is imported, leave TorchDynamo, half of its import, to the first optimizer.

    Lightning takes two names from it: the class of compiled networks, of which there is none before Dynamo is there,
    and `disable`, which torch has in a form that imports Dynamo when the function is called.
    """
    sys.meta_path.insert(0, _LightningFinder())


class _LightningFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != LIGHTNING:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader and DYNAMO not in sys.modules:
            spec.loader = _LightningLoader(spec.loader)
        return spec


class _LightningLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _stand_in_for_dynamo():
            self._loader.exec_module(module)


@contextmanager
def _stand_in_for_dynamo() -> Iterator[None]:
    import torch

    stand_in: Any = ModuleType(DYNAMO)
    stand_in.OptimizedModule = _CompiledNetwork
    stand_in.disable = lambda function, recursive, reason: torch._compile._disable_dynamo(function, recursive)
    sys.modules[DYNAMO] = stand_in
    try:
        yield
    finally:
        del sys.modules[DYNAMO]


class _CompiledNetworkType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        dynamo = sys.modules.get(DYNAMO)
        return dynamo is not None and isinstance(instance, dynamo.OptimizedModule)


class _CompiledNetwork(metaclass=_CompiledNetworkType):
    """Stand for the class of compiled networks."""
