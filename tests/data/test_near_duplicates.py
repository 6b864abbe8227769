"""Near-duplicates, as groups of hashes and of features."""

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from copycat.data.image_measures import HASH_BITS, ImageMeasures
from copycat.data.near_duplicates import MAX_DISTANCE, find_near_duplicates

BYTES = 32


def make_measures(bits: NDArray[np.bool_], mirrored: NDArray[np.bool_] | None = None) -> ImageMeasures:
    """Measures that hold nothing but hashes; by default mirrored images resemble nothing."""
    count = len(bits)
    rest = np.random.default_rng(9).integers(0, 2, (count, HASH_BITS)).astype(bool) if mirrored is None else mirrored
    nothing = np.zeros(count)
    size = np.zeros(count, dtype=np.int64)
    return ImageMeasures(size, size, nothing, nothing, nothing, np.packbits(bits, axis=1), np.packbits(rest, axis=1))


def random_bits(count: int, *, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).integers(0, 2, (count, HASH_BITS)).astype(bool)


def flip(bits: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    changed = bits.copy()
    changed[:count] ^= True
    return changed


def test_hashes_are_near_up_to_the_largest_distance() -> None:
    most = int(MAX_DISTANCE * HASH_BITS)
    first, second, third = random_bits(3)
    bits = np.stack([first, second, flip(first, most), third, flip(second, most + 1)])
    found = find_near_duplicates([*"abcde"], make_measures(bits))
    assert found.groups == [[0, 2]]
    assert found.matches[2].kind == "similar"
    assert abs(found.matches[2].similarity - (1 - most / HASH_BITS)) < 1e-6


def test_kinds_of_matches_are_told_apart() -> None:
    first, second, third, fourth = random_bits(4)
    bits = np.stack([first, first, second, third, fourth])
    mirrored = np.stack([*random_bits(3, seed=5), second, random_bits(1, seed=6)[0]])
    features = np.eye(5, dtype=np.float32)
    features[4] = np.sqrt([0, 0, 0, 0.99, 0.01])
    found = find_near_duplicates(["a", "a", "b", "c", "d"], make_measures(bits, mirrored), features)
    assert found.groups == [[0, 1], [2, 3, 4]]
    assert {index: match.kind for index, match in found.matches.items()} == {
        1: "equal",
        3: "mirrored",
        4: "similar content",
    }


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 7))
def test_groups_are_the_connected_images_in_any_blocks(kinds: list[int], block: int) -> None:
    originals = random_bits(6)
    bits = np.stack([flip(originals[kind], index % 5) for index, kind in enumerate(kinds)])
    measures = make_measures(bits, ~bits)
    with patch("copycat.data.near_duplicates.BLOCK", block):
        found = find_near_duplicates([str(index) for index in range(len(kinds))], measures)
    expected = [[index for index, kind in enumerate(kinds) if kind == one] for one in dict.fromkeys(kinds)]
    assert found.groups == [group for group in expected if len(group) > 1]
