"""Make imports that tests do not need stay away."""

import sys
from types import ModuleType
from typing import Any

DYNAMO = "torch._dynamo"


def import_lightning_without_dynamo() -> None:
    """Import Lightning, and leave TorchDynamo, which is half of its import, to the first optimizer, which needs it.

    Lightning takes two names from it: the class of compiled networks, of which there is none before Dynamo is there,
    and `disable`, which torch has in a form that imports Dynamo when the function is called.
    """
    import torch

    if DYNAMO in sys.modules:
        return
    stand_in: Any = ModuleType(DYNAMO)
    stand_in.OptimizedModule = _CompiledNetwork
    stand_in.disable = lambda function, recursive, reason: torch._compile._disable_dynamo(function, recursive)
    sys.modules[DYNAMO] = stand_in
    try:
        import pytorch_lightning  # noqa: F401
    finally:
        del sys.modules[DYNAMO]


class _CompiledNetworkType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        dynamo = sys.modules.get(DYNAMO)
        return dynamo is not None and isinstance(instance, dynamo.OptimizedModule)


class _CompiledNetwork(metaclass=_CompiledNetworkType):
    """Stand for the class of compiled networks."""
