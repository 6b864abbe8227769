"""Columns of texts and digests: sequences of strings in a few bytes an image."""

import random
import sys
import tracemalloc
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.data.columns import DigestColumn, TextColumn, rank_texts, select

TEXTS = st.lists(st.text(st.characters(codec=None), max_size=8), max_size=20)  # lone surrogates too
DIGESTS = st.lists(st.binary(min_size=16, max_size=16), max_size=20)


def digest_column(digests: Sequence[bytes]) -> DigestColumn:
    return DigestColumn(np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 16))


@given(TEXTS)
def test_a_text_column_is_the_sequence_of_its_texts(texts: list[str]) -> None:
    column = TextColumn.of(iter(texts))
    assert list(column) == texts
    assert column == texts
    assert column[1:] == texts[1:]
    assert [column[place] for place in range(-len(texts), len(texts))] == texts * 2
    assert TextColumn.joined([column, column[:0], column[:]]) == texts * 2
    assert column != [*texts, "x"]


@given(st.lists(st.text(st.characters(codec=None, exclude_characters="\0"), max_size=8), max_size=20))
def test_texts_are_sorted_as_python_sorts_them(texts: list[str]) -> None:
    column = TextColumn.of(texts)
    assert column.sorted() == sorted(texts)
    assert column[::-1].sorted() == sorted(texts)


@given(DIGESTS)
def test_a_digest_column_presents_hexadecimal_digits(digests: list[bytes]) -> None:
    column = digest_column(digests)
    assert list(column) == [one.hex() for one in digests]
    assert [column[place] for place in range(len(digests))] == [one.hex() for one in digests]


def test_a_place_outside_a_column_is_an_index_error() -> None:
    column = TextColumn.of(["a"])
    for place in (1, -2):
        with pytest.raises(IndexError):
            column[place]


def test_a_selection_is_a_column_of_a_column_and_a_list_of_a_list() -> None:
    texts = ["b", "", "ä", "c"]
    for values in (texts, TextColumn.of(texts)):
        chosen = select(values, np.array([3, 0, 0]))
        assert chosen == ["c", "b", "b"]
        assert type(chosen) is type(values)
        assert select(chosen, [2]) == ["b"]


def test_a_column_knows_whether_its_texts_are_utf8() -> None:
    assert TextColumn.of(["é.png"]).is_utf8
    assert not TextColumn.of(["a.png", "\udcff.png"]).is_utf8


@given(DIGESTS, DIGESTS)
def test_ranks_order_digests_as_their_digits_do(first: list[bytes], second: list[bytes]) -> None:
    second += first[::2]
    as_columns = rank_texts(digest_column(first), digest_column(second))
    as_texts = rank_texts([one.hex() for one in first], [one.hex() for one in second])
    both = [one.hex() for one in (*first, *second)]
    ranks, others = (np.concatenate(each).tolist() for each in (as_columns, as_texts))
    assert [len(each) for each in as_columns] == [len(first), len(second)]
    for found in (ranks, others):
        pairs = sorted(zip(found, both, strict=True))
        assert [text for _, text in pairs] == sorted(both)
        assert len(set(found)) == len(set(both)) == len(set(zip(found, both, strict=True)))


def test_a_hundred_thousand_names_and_digests_take_a_few_bytes_each() -> None:
    count = 100_000
    tracemalloc.start()
    names = TextColumn.of(f"class/photo_{number:06}.jpg" for number in range(count))
    digests = digest_column([blake2b(bytes([number % 251]), digest_size=16).digest() for number in range(count)])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    paths = sum(len(name) for name in names)
    assert (kept - paths) / count < 16 + 8 + 2
    assert sys.getsizeof(names[7]) + sys.getsizeof(digests[7]) > 100  # what lists of strings would take


def test_columns_of_shuffled_places_keep_their_texts() -> None:
    texts = [str(number) for number in range(50)]
    places = random.Random(0).sample(range(50), 50)
    column = TextColumn.of(texts).select(np.array(places))
    assert list(column) == [texts[place] for place in places]
