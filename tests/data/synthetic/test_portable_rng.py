"""Random numbers that are the same on every machine."""

from copycat.data.synthetic.portable_rng import PortableRNG


def test_bell_shaped_numbers_have_mean_zero_and_deviation_one() -> None:
    numbers = PortableRNG("bells").normal_array(100, 100)
    assert abs(float(numbers.mean())) < 0.03
    assert abs(float(numbers.std()) - 1) < 0.03
