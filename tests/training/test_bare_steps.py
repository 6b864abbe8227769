"""Bare calls have the bits of torch's own, and nothing that is hooked in is left out."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from copycat.training.bare_steps import backward, find_step

OPTIMIZERS: list[Callable[[Any], Optimizer]] = [
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.RMSprop,
    torch.optim.NAdam,
]


def train(make: Callable[[Any], Optimizer], find: Callable[[Optimizer], Callable[[], object]]) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimizer = make(network.parameters())
    schedule = StepLR(optimizer, step_size=2, gamma=0.5)
    step = find(optimizer)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.ones(4, 3)).square().sum().backward()
        step()
        schedule.step()  # warns where it finds that the optimizer has not stepped
    return network


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_it_has_the_bits_of_the_wrapped_step(make: Callable[[Any], Optimizer]) -> None:
    alone, wrapped = train(make, find_step), train(make, lambda optimizer: optimizer.step)
    for a, b in zip(alone.parameters(), wrapped.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_have_the_bits_of_backward_and_add_up(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)
    images, found = torch.rand(5, 3, dtype=dtype), list[list[Any]]()
    for run in (backward, torch.Tensor.backward):
        network.zero_grad()
        for _ in range(2):
            run(network(images).square().mean())
        found.append([parameter.grad for parameter in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("loss", [torch.ones(2, requires_grad=True) * 2, torch.ones(())])
def test_a_loss_without_gradients_is_refused_as_by_torch(loss: torch.Tensor) -> None:
    with pytest.raises(RuntimeError, match=r"grad can be implicitly created|does not require grad"):
        backward(loss)


def hook_in(optimizer: Optimizer, seen: list[str], monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "before":
        optimizer.register_step_pre_hook(lambda *_: seen.append(how))
    elif how == "after":
        optimizer.register_step_post_hook(lambda *_: seen.append(how))
    else:
        whose: Any = optimizer if how == "its own" else type(optimizer)
        step = whose.step

        @wraps(step)
        def counting(*args: Any) -> Any:
            seen.append(how)
            return step(*args)

        monkeypatch.setattr(whose, "step", counting)


@pytest.mark.parametrize("how", ["before", "after", "its own", "its class's"])
def test_what_is_hooked_in_is_called(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, seen = torch.optim.SGD(nn.Linear(2, 1).parameters()), list[str]()
    find_step(optimizer)()
    hook_in(optimizer, seen, monkeypatch, how)
    find_step(optimizer)()
    assert seen == [how]


def test_an_optimizer_of_ones_own_is_stepped_as_it_is() -> None:
    class Own(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            return super().step(closure)

    optimizer = Own(nn.Linear(2, 1).parameters())
    find_step(optimizer)()
    assert optimizer.steps == 1
