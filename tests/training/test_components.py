"""What an optimizer or a scheduler of one's own does wrong is named by its own key."""

from typing import Any

import pytest
import torch

from copycat.config.errors import UserError
from copycat.inspection.schedule import compute_schedule
from copycat.training.components import build_components
from tests.support.runs import compose_quickly


class NoOptimizer:
    """Take parameters, and be no optimizer."""

    def __init__(self, params: Any) -> None:
        self.params = list(params)


class NoScheduler:
    """Take an optimizer, and be no scheduler."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer


class Lost(torch.optim.SGD):
    """Fail as a class does that looks for a key."""

    def __init__(self, params: Any) -> None:
        raise KeyError("betas")


@pytest.mark.parametrize(
    ("group", "node", "line"),
    [
        (
            "optimizer",
            {"_target_": f"{__name__}.NoOptimizer", "_partial_": True},
            rf"^optimizer\._target_: expected a torch\.optim\.Optimizer; got '{__name__}\.NoOptimizer'\.$",
        ),
        (
            "optimizer",
            {"_target_": f"{__name__}.Lost", "_partial_": True},
            rf"^optimizer: {__name__}\.Lost refuses this: KeyError: 'betas'$",
        ),
        (
            "optimizer",
            {"_target_": f"{__name__}.NoOptimizer"},
            r"^optimizer\.params: \S+ needs it\. It is given later: add .*, or type \+optimizer\._partial_=true\.$",
        ),
        (
            "scheduler",
            {"_target_": f"{__name__}.NoScheduler", "_partial_": True, "interval": "epoch"},
            rf"^scheduler\._target_: expected a scheduler of learning rates; got '{__name__}\.NoScheduler'\.$",
        ),
        (
            "scheduler",
            {"_target_": f"{__name__}.NoScheduler", "interval": "epoch"},
            r"^scheduler\.optimizer: \S+ needs it\. It is given later: add _partial_: true",
        ),
    ],
)
def test_the_cause_is_named(group: str, node: dict[str, Any], line: str) -> None:
    config = {**compose_quickly([]).config, group: node}
    with pytest.raises(UserError, match=line):
        build_components(config)
    if group == "optimizer":
        with pytest.raises(UserError, match=line):
            compute_schedule(config)
