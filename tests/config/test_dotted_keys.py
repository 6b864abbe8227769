"""Dotted keys: what a folder's file writes in two ways is seen in both."""

from copycat.config.dotted_keys import flatten, iterate_values


def test_a_key_that_is_written_in_two_ways_comes_twice() -> None:
    config = {"data": {"inner": {"lr": "bad"}, "inner.lr": 0.1}}
    assert list(iterate_values(config)) == [("data.inner.lr", "bad"), ("data.inner.lr", 0.1)]


def test_nested_mappings_become_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": []}, "e": None}) == {"a.b.c": 1, "a.d": [], "e": None}
