"""Images reach a network in the precision that it takes."""

import pytest
import torch
from torch import nn

from copycat.models.network_input import to_input

FLOAT, HALF, COMPLEX = torch.float32, torch.bfloat16, torch.complex64


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ([torch.float64, torch.float64], torch.float64),
        ([HALF, HALF], HALF),
        ([HALF, FLOAT], FLOAT),
        ([COMPLEX, HALF], HALF),
        ([COMPLEX], FLOAT),
        ([], FLOAT),
    ],
)
def test_images_have_the_precision_of_the_weights_or_float32_where_these_differ(
    dtypes: list[torch.dtype], expected: torch.dtype
) -> None:
    network = nn.ParameterList([nn.Parameter(torch.zeros(1, dtype=dtype)) for dtype in dtypes])
    network.register_buffer("count", torch.tensor(0))
    assert to_input(torch.zeros(2, 3, 4, 4), network).dtype == expected
