"""Deferred steps of a constant learning rate leave the scheduler as its own steps do."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, LRScheduler

from copycat.training.lazy_scheduler import LazyScheduler


def build(factor: float = 1.0) -> tuple[torch.optim.Optimizer, LRScheduler]:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.1, 0.3)]
    optimizer = torch.optim.SGD(groups)
    scheduler = ConstantLR(optimizer, factor) if factor else ExponentialLR(optimizer, 0.9)
    optimizer.step()
    return optimizer, scheduler


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
def test_a_scheduler_ends_where_its_own_steps_lead_it(factor: float) -> None:
    (optimizer, lazy), (expected_optimizer, expected) = build(factor), build(factor)
    schedule = LazyScheduler(lazy)
    for steps in (1, 7, 0, 2):
        for _ in range(steps):
            schedule.step()
            expected.step()
        schedule.apply_deferred()
        assert lazy.state_dict() == expected.state_dict()
        if steps == 7:  # as a callback may
            for group in (optimizer.param_groups[1], expected_optimizer.param_groups[1]):
                group["lr"] = 0.7
    assert [group["lr"] for group in optimizer.param_groups] == [
        group["lr"] for group in expected_optimizer.param_groups
    ]
