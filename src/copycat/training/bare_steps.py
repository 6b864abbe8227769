"""Compute gradients and step an optimizer without what torch wraps around both in Python."""

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
GLOBAL_HOOKS = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")


def backward(loss: Tensor) -> None:
    """Compute the gradients of a loss to the same bits as `loss.backward()`, which takes longer to call the engine."""
    if loss.ndim or not loss.requires_grad:  # torch says what is wrong
        loss.backward()  # type: ignore[no-untyped-call]
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (loss,), (_one(loss.dtype, loss.device),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


@lru_cache(8)
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones((), dtype=dtype, device=device)


def find_step(optimizer: Optimizer) -> Callable[[], object]:
    """Return a function that steps the optimizer to the same bits as `optimizer.step`.

    Of torch's own optimizers it is the step alone, without the wrappers for hooks, the profiler and compilation, which
    take longer than to update a small network. Where something is hooked in, it is `optimizer.step`.
    """
    *wrappers, inner = _list_wrapped(type(optimizer).step)
    if not (is_plain(optimizer) and all(_is_of_torch(function) for function in (*wrappers, inner))):
        return optimizer.step
    optimizer._opt_called = True  # type: ignore[attr-defined]  # the schedulers' wrapper notes it

    def step() -> None:
        with torch.no_grad():
            inner(optimizer)

    return step


def is_plain(optimizer: Optimizer) -> bool:
    """Return whether an optimizer has no hooks and no step of its own, beside that by which schedulers count."""
    own: Any = vars(optimizer).get("step")
    module = sys.modules[Optimizer.__module__]
    hooks = [getattr(optimizer, name, True) for name in HOOKS] + [getattr(module, name, True) for name in GLOBAL_HOOKS]
    is_own = own is not None and not hasattr(own, "_wrapped_by_lr_sched")
    return not (is_own or any(hooks) or optimizer.defaults.get("differentiable"))


def _list_wrapped(function: Any) -> Iterator[Any]:
    """Yield a function, and each that it wraps."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def _is_of_torch(function: Any) -> bool:
    """Return whether torch defines a function; a wrapper takes over the other names of what it wraps."""
    return str(function.__globals__["__name__"]).startswith("torch.")
