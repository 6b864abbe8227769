"""Optimizers of weights in another precision than float32, saved and loaded."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from copycat.config.places import CONF
from copycat.training.components import build_components
from tests.support.runs import compose_quickly

OPTIMIZERS = sorted({file.stem for file in (CONF / "optimizer").glob("*.yaml")} - {"lbfgs", "sparse_adam"})


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loaded_optimizer_takes_the_steps_of_the_saved_one(name: str, dtype: torch.dtype) -> None:
    components = build_components(compose_quickly(["data.train=8", "data.val=4", f"optimizer={name}"]).config)

    def make_optimizer(network: nn.Module) -> torch.optim.Optimizer:
        components.classifier.network = network
        made: Any = components.classifier.configure_optimizers()
        optimizer: torch.optim.Optimizer = made["optimizer"]
        return optimizer

    def take_steps(optimizer: torch.optim.Optimizer, network: nn.Module, steps: range) -> list[Tensor]:
        for step in steps:
            for parameter in network.parameters():
                parameter.grad = torch.full_like(parameter, (-1.0) ** (step // 3) / (step + 3))
            optimizer.step()
        return [parameter.detach() for parameter in network.parameters()]

    network = nn.Linear(3, 2).to(dtype)
    optimizer = make_optimizer(network)
    take_steps(optimizer, network, range(5))
    copy = deepcopy(network)
    resumed = make_optimizer(copy)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    expected, found = (take_steps(*each, range(5, 20)) for each in ((optimizer, network), (resumed, copy)))
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    states = zip(optimizer.state.values(), resumed.state.values(), strict=True)
    assert all(one[key].dtype == other[key].dtype for one, other in states for key in one if torch.is_tensor(one[key]))
