"""Overrides of one word or number are parsed as Hydra's grammar does, without it."""

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from copycat.config.overrides import as_words, parse_plain
from tests.support.runs import compose_quickly

NUMBERS = [
    *(repr(float(value)) for value in 10 ** np.random.default_rng(0).uniform(-12, 12, 40)),
    *(repr(float(value)) for value in np.random.default_rng(1).normal(size=20)),
    *("0", "-0", "7", "-12", "12345678901234567890", "0.0", "-0.0", "1e-05", "5e-324", "1e+16", "1.5E3", "1e5"),
    *("007", "00.5", "01.5e-03", "+3", "1_0", "1_0.5", "1.", ".5", "--2", "1-2", "inf"),
]
WORDS = ["true", "False", "null", "abc", "a.b", "x-y", "'12'", "'x'", "'x1'", "'0.5'", "'a/b'", "'true'"]


@pytest.mark.parametrize("value", [*NUMBERS, *WORDS])
@pytest.mark.parametrize("key", ["optimizer.lr", "+seed", "++a.b"])
def test_a_word_is_parsed_as_by_hydras_grammar(key: str, value: str) -> None:
    word = f"{key}={value}"
    (wanted,) = OverridesParser.create().parse_overrides([word])
    found = parse_plain(word)
    assert found is not None
    assert repr(found) == repr(wanted)
    assert repr(found.value()) == repr(wanted.value())
    assert found.get_value_element_as_str() == wanted.get_value_element_as_str()


@pytest.mark.parametrize(
    "word",
    ["a=[1,2]", "a={b: 1}", "a=glob(*)", "a=${b}", "a=1,2", "~a", "a@b=c", "a=", "=1", "a", "a..b=1", "a..b='1'"],
)
def test_another_override_is_left_to_the_grammar(word: str) -> None:
    assert parse_plain(word) is None


def test_a_mapping_of_python_is_typed_as_on_the_command_line() -> None:
    keys = {"normalize": {"mean": [0.5], "std": [0.25]}, "lr_multipliers": {"layers.0.*": 0.1}}
    config = compose_quickly(as_words(["optimizer=adam"], keys)).config
    assert {key: config[key] for key in keys} == keys
