"""Distances between numbers, in steps from one value to the next; against NumPy and struct."""

import math
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from copycat.reruns.ulp import NumberPair, bit_pattern, is_single, ulps

NUMPY: dict[int, Any] = {16: np.float16, 32: np.float32, 64: np.float64}
WIDTHS = pytest.mark.parametrize("width", NUMPY)


def draw_floats(width: int) -> st.SearchStrategy[float]:
    return st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]


def count_ulps(a: float, b: float, width: int) -> int:
    return ulps(bit_pattern(a, width=width), bit_pattern(b, width=width), width=width)


@WIDTHS
@given(data=st.data())
def test_a_pattern_is_what_numpy_stores(width: int, data: st.DataObject) -> None:
    value = data.draw(st.floats(width=width))  # type: ignore[arg-type]
    stored = NUMPY[width](value).view(f"uint{width}")
    if not math.isnan(value):
        assert bit_pattern(value, width=width) == int(stored)


@WIDTHS
@given(data=st.data())
def test_the_next_number_is_one_step_away(width: int, data: st.DataObject) -> None:
    value = NUMPY[width](data.draw(draw_floats(width)))
    with np.errstate(all="ignore"):  # the largest has infinity next to it
        up = np.nextafter(value, NUMPY[width](np.inf))
    assert count_ulps(float(value), float(up), width) == 1


@WIDTHS
@given(data=st.data())
def test_the_distance_is_symmetric_and_zero_for_equal_values_alone(width: int, data: st.DataObject) -> None:
    a, b = data.draw(draw_floats(width)), data.draw(draw_floats(width))
    assert count_ulps(a, b, width) == count_ulps(b, a, width)
    assert (count_ulps(a, b, width) == 0) == (a == b)


@WIDTHS
@given(data=st.data())
def test_distances_add_up_along_the_line(width: int, data: st.DataObject) -> None:
    low, middle, high = sorted(data.draw(st.tuples(*[draw_floats(width)] * 3)))
    assert count_ulps(low, high, width) == count_ulps(low, middle, width) + count_ulps(middle, high, width)


@given(value=st.floats(min_value=0, max_value=2.0**100, width=32), count=st.integers(0, 50))
def test_n_times_the_next_number_is_n_steps_away(value: float, count: int) -> None:
    up = np.float32(value)
    with np.errstate(all="ignore"):
        for _ in range(count):
            up = np.nextafter(up, np.float32(np.inf))
    assert count_ulps(value, float(up), 32) == count
    assert count_ulps(-value, float(-up), 32) == count
    across = struct.unpack("<I", struct.pack("<f", value))[0]
    assert count_ulps(-value, value, 32) == 2 * across


def test_bfloat16_is_ordered_like_the_others() -> None:
    one = torch.tensor(1.0, dtype=torch.bfloat16)
    two = torch.tensor(1.0 + 2.0**-7, dtype=torch.bfloat16)  # it has seven bits behind the point
    a, b = (int(t.view(torch.int16)) & 0xFFFF for t in (one, two))
    assert ulps(a, b, width=16) == 1


@given(value=st.floats(width=32, allow_nan=False))
def test_a_float32_is_taken_for_one(value: float) -> None:
    assert is_single(value)
    assert NumberPair.of(value, value).width == 32


@pytest.mark.parametrize("value", [0.1, 1e300, -1e-300, math.pi])
def test_what_needs_64_bits_is_shown_with_64(value: float) -> None:
    assert not is_single(value)
    assert NumberPair.of(value, 1.0).format()[0] == f"{value!r}\n0x{struct.pack('>d', value).hex()}"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (1.0, float(np.nextafter(np.float32(1), np.float32(2))), "1 ulp"),
        (-(2.0**-149), 2.0**-149, "2 ulps"),  # the smallest float32
        (0.0, -0.0, "0 ulps: their signs differ"),
        (math.inf, 1.0, "none: infinite before"),
        (1.0, math.nan, "none: not a number after"),
        (math.nan, math.nan, "0 ulps"),
    ],
)
def test_a_distance_is_said_in_words(before: float, after: float, words: str) -> None:
    assert NumberPair.of(before, after).description == words


def test_a_sign_of_zero_is_a_difference_and_nan_is_like_nan() -> None:
    assert not NumberPair.of(0.0, -0.0).is_identical
    assert NumberPair.of(math.nan, math.nan).is_identical
    assert NumberPair.of(math.nan, 1.0).distance == math.inf
