"""Load the state of an optimizer without a change of its precision."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def keep_state_precision(optimizer: Optimizer) -> None:
    """Load each tensor of the optimizer's state as it was saved; torch converts all but `step` as the weights are.

    NAdam's product of momenta, in float32, would be rounded to bfloat16, or continue in float64.
    """
    saved: list[Mapping[str, Any]] = []

    def remember(_: Optimizer, state: dict[str, Any]) -> None:
        saved.extend(state["state"].values())

    def restore(optimizer: Optimizer) -> None:
        for loaded, before in zip(optimizer.state.values(), saved, strict=True):
            for name, value in before.items():
                if isinstance(value, Tensor) and value.dtype != loaded[name].dtype:
                    loaded[name] = value.to(loaded[name].device, copy=True)
        saved.clear()

    optimizer.register_load_state_dict_pre_hook(remember)
    optimizer.register_load_state_dict_post_hook(restore)
