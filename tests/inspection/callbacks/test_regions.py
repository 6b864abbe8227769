"""Where on its activation function a unit works."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from copycat.inspection.callbacks.regions import is_activation, saturation

EACH = [
    nn.Sigmoid,
    nn.Tanh,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Softsign,
]


def find_region(module: nn.Module, value: float) -> str:
    found = saturation(module, torch.tensor([value]))
    return max(found, key=lambda name: found[name])


def test_a_sigmoid_is_sensitive_where_its_slope_is_a_tenth_of_the_steepest() -> None:
    # s(1 - s) = 1/40 gives s = (1 ± √0.9) / 2
    edge = math.log((1 + math.sqrt(0.9)) / (1 - math.sqrt(0.9)))
    sigmoid = nn.Sigmoid()
    assert find_region(sigmoid, edge - 0.02) == find_region(sigmoid, 0.02 - edge) == "sensitive"
    assert find_region(sigmoid, edge + 0.02) == "oversaturated"
    assert find_region(sigmoid, -edge - 0.02) == "undersaturated"
    assert find_region(sigmoid, 1e6) == "oversaturated"


def test_a_rectifier_is_dead_below_0_and_never_saturates_above() -> None:
    assert find_region(nn.ReLU(), -0.1) == "undersaturated"
    assert find_region(nn.ReLU(), 0.1) == find_region(nn.ReLU(), 1e6) == "sensitive"


@given(st.sampled_from(EACH), st.lists(st.floats(-50, 50), min_size=1))
def test_shares_make_one(kind: type[nn.Module], values: list[float]) -> None:
    assert sum(saturation(kind(), torch.tensor(values)).values()) == pytest.approx(1, abs=1e-6)


def test_inputs_that_are_nan_are_in_no_region() -> None:
    assert saturation(nn.ReLU(), torch.tensor([math.nan, -1, 1, math.inf]))["sensitive"] == pytest.approx(2 / 3)
    assert all(map(math.isnan, saturation(nn.ReLU(), torch.tensor([math.nan])).values()))


def test_one_that_learns_its_slope_is_looked_at_anew() -> None:
    module = nn.PReLU(init=1.0)
    assert find_region(module, -1) == "sensitive"
    with torch.no_grad():
        module.weight.fill_(0.0)
    assert find_region(module, -1) == "undersaturated"


def test_what_mixes_numbers_is_none() -> None:
    assert is_activation(nn.Sigmoid())
    assert not is_activation(nn.Softmax(dim=1))
    assert not is_activation(nn.Linear(1, 1))


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ELU, nn.SiLU, nn.Hardswish])
def test_one_that_writes_to_its_input_has_the_same_regions(kind: Any) -> None:
    given = torch.linspace(-6, 6, 25)
    assert saturation(kind(inplace=True), given) == saturation(kind(), given)
