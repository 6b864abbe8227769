"""JSON with an indent has the bytes that Python's own encoder writes."""

import json
import math
import random
from collections import OrderedDict
from typing import Any

import pytest

from copycat.records.json_text import to_json

SCALARS = [1, -2.5, 1e300, 10**30, True, False, None, "", 'é"\n\u2028\\', "a,b: {}[]", 0]
KEYS = ["a", "é", "k y", '"q"', "", 1, 2.5, None, True]


def make_value(chance: random.Random, depth: int) -> Any:
    """Make a nested value of any kind that JSON has a form for."""
    kind = chance.random()
    if depth == 0 or kind < 0.4:
        return chance.choice([*SCALARS, {}, [], ()])
    inner = [make_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind < 0.6:
        return inner
    if kind < 0.7:
        return tuple(inner)
    return chance.choice([dict, OrderedDict])(zip(chance.choices(KEYS, k=len(inner)), inner, strict=True))


def test_the_text_is_that_of_pythons_encoder() -> None:
    chance = random.Random(0)
    for _ in range(2000):
        value = make_value(chance, 5)
        assert to_json(value) == json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": [{"b": -math.inf}, 1]}, {math.nan: [[]]}])
def test_a_number_that_is_not_finite_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        to_json(value)


@pytest.mark.parametrize("value", [{1, 2}, [object()], {"a": [[b""]]}, {("a",): [[]]}])
def test_a_value_without_a_form_in_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        to_json(value)
