"""Seeds that are functions of names and numbers."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from copycat.data.streams import derive_seed

parts = st.lists(st.one_of(st.text(max_size=8), st.integers()), max_size=4)


def test_a_seed_stays_the_same_from_release_to_release() -> None:
    # of `printf "('order', 123, 2)" | b2sum -l 64`, its bytes from the last to the first, halved
    assert derive_seed("order", 123, 2) == int.from_bytes(bytes.fromhex("7263a1308754328e")[::-1], "big") // 2


def test_a_seed_does_not_depend_on_the_process_or_its_hash_seed() -> None:
    code = "from copycat.data.streams import derive_seed; print(derive_seed('a', 1))"
    found = {
        int(subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}))
        for seed in ("1", "2")
    }
    assert found == {derive_seed("a", 1)}


@given(parts, parts)
def test_other_names_and_numbers_give_another_seed_and_each_is_one_that_torch_takes(
    one: list[str | int], other: list[str | int]
) -> None:
    assert (derive_seed(*one) == derive_seed(*other)) == (one == other)
    assert 0 <= derive_seed(*one) < 2**63


def test_the_word_1_and_the_number_1_are_two() -> None:
    assert (
        len(
            {
                derive_seed("1"),
                derive_seed(1),
                derive_seed("1", ""),
                derive_seed("", "1"),
                derive_seed("a", 12),
                derive_seed("a", 1, 2),
            }
        )
        == 6
    )
