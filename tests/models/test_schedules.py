"""The rates of Copycat's schedules are, bit for bit, those of torch's own schedulers on an optimizer of their own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from copycat.models.schedules import one_cycle, sequence, warmup_cosine

MakeOptimizer = Callable[[], Optimizer]
Rates = list[tuple[float, ...]]


def make_momentum(rates: tuple[float, ...] = (0.1,)) -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=rates[0], momentum=0.9)


def make_adam() -> Optimizer:
    return torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.02)


def record(optimizer: Optimizer, scheduler: Any, *, steps: int) -> Rates:
    """Rate and momentum, or first beta, of each group in each step."""
    recorded: Rates = []
    for _ in range(steps):
        groups = optimizer.param_groups
        recorded.append(tuple(v for g in groups for v in (g["lr"], g["betas"][0] if "betas" in g else g["momentum"])))
        optimizer.step()
        scheduler.step()
    return recorded


def record_fresh(make_optimizer: MakeOptimizer, make_scheduler: Callable[[Optimizer], Any], *, steps: int) -> Rates:
    optimizer = make_optimizer()
    return record(optimizer, make_scheduler(optimizer), steps=steps)


def torch_sequence(
    optimizer: Optimizer, first: Callable[..., Any], second: Callable[..., Any], milestone: int
) -> lr_scheduler.SequentialLR:
    return lr_scheduler.SequentialLR(optimizer, [first(optimizer), second(optimizer)], [milestone])


@settings(max_examples=30)
@given(total=st.integers(1, 40), data=st.data(), floor=st.sampled_from([0.0, 1e-3, 0.03]))
def test_a_warm_up_into_cosine_has_the_rates_of_torch_s_sequence(total: int, data: Any, floor: float) -> None:
    warmup = data.draw(st.integers(0, total - 1))
    mine = record_fresh(
        make_momentum, partial(warmup_cosine, warmup_iters=warmup, total_iters=total, eta_min=floor), steps=total
    )
    first = partial(lr_scheduler.LinearLR, start_factor=0.01, total_iters=warmup)
    second = partial(lr_scheduler.CosineAnnealingLR, T_max=total - warmup, eta_min=floor)
    both = partial(torch_sequence, first=first, second=second, milestone=warmup)
    theirs = record_fresh(make_momentum, both if warmup else second, steps=total)
    assert mine == theirs
    assert max(rate for rate, _ in mine) == pytest.approx(0.1)


PLAIN: dict[str, Callable[[Optimizer], Any]] = {
    "constant": partial(lr_scheduler.ConstantLR, factor=1.0),
    "warmup": partial(lr_scheduler.LinearLR, start_factor=0.1, total_iters=4),
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=6, eta_min=1e-3),
    "exponential": partial(lr_scheduler.ExponentialLR, gamma=0.7),
    "multi_step": partial(lr_scheduler.MultiStepLR, milestones=[1, 3]),
    "polynomial": partial(lr_scheduler.PolynomialLR, total_iters=6, power=2.0),
    "step": partial(lr_scheduler.StepLR, step_size=2),
}
CYCLES: dict[str, Callable[[Optimizer], Any]] = {"one_cycle": partial(one_cycle, total_steps=6)}


@settings(max_examples=30)
@given(first=st.sampled_from(sorted(PLAIN)), second=st.sampled_from(sorted(PLAIN)), milestone=st.integers(1, 6))
def test_two_schedules_have_the_rates_of_torch_s_sequence(first: str, second: str, milestone: int) -> None:
    mine, theirs = (
        record_fresh(make_adam, partial(make, first=PLAIN[first], second=PLAIN[second], milestone=milestone), steps=12)
        for make in (sequence, torch_sequence)
    )
    assert mine == theirs


@pytest.mark.parametrize("make_optimizer", [make_momentum, make_adam])
@pytest.mark.parametrize(
    ("first", "second"), [("one_cycle", "polynomial"), ("step", "one_cycle"), ("one_cycle", "one_cycle")]
)
def test_a_cycle_in_a_sequence_changes_neither_rate_nor_momentum_of_the_other_schedule(
    first: str, second: str, make_optimizer: MakeOptimizer
) -> None:
    makers = PLAIN | CYCLES
    make = partial(sequence, first=makers[first], second=makers[second], milestone=6)
    mine = record_fresh(make_optimizer, make, steps=12)
    alone = [record_fresh(make_optimizer, makers[name], steps=6) for name in (first, second)]
    assert mine[:6] == alone[0]
    for (rate, momentum), (wanted, other) in zip(mine[6:], alone[1], strict=True):
        assert rate == pytest.approx(wanted, rel=1e-14)  # torch starts a second schedule by its closed form
        assert momentum == other


@pytest.mark.parametrize("three_phase", [False, True])
def test_a_cycle_rises_to_each_group_s_own_rate(three_phase: bool) -> None:
    rates = (0.1, 0.003)
    mine = record_fresh(
        partial(make_momentum, rates), partial(one_cycle, total_steps=20, three_phase=three_phase), steps=20
    )
    theirs = record_fresh(
        partial(make_momentum, rates),
        lambda o: lr_scheduler.OneCycleLR(o, max_lr=list(rates), total_steps=20, three_phase=three_phase),
        steps=20,
    )
    assert mine == theirs
    assert (max(row[0] for row in mine), max(row[2] for row in mine)) == pytest.approx(rates, rel=0.05)


@pytest.mark.parametrize("stop", [2, 5, 6, 9])
def test_a_restored_sequence_goes_on_with_the_same_rates(stop: int) -> None:
    make = partial(sequence, first=CYCLES["one_cycle"], second=PLAIN["cosine"], milestone=6)
    whole = record_fresh(make_adam, make, steps=12)
    optimizer = make_adam()
    scheduler = make(optimizer)
    assert record(optimizer, scheduler, steps=stop) == whole[:stop]
    other = make_adam()
    restored = make(other)
    other.load_state_dict(optimizer.state_dict())
    restored.load_state_dict(scheduler.state_dict())
    assert record(other, restored, steps=12 - stop) == whole[stop:]
