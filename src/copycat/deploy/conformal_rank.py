"""The finite-sample rank of conformal prediction, and the number of images that it takes."""

from fractions import Fraction
from math import ceil


def conformal_rank(share: float, images: int) -> int:
    """Return the rank of the score that a new one exceeds with a probability of at most 1 - share: ⌈(n+1)·share⌉.

    It is above n where there are too few images for the share.

    Source: Papadopoulos et al. 2002, Inductive Confidence Machines for Regression; Angelopoulos, Bates 2021, A Gentle
    Introduction to Conformal Prediction, section 1.
    """
    return ceil(Fraction(repr(share)) * (images + 1))  # exact: 0.9 × 10 is 9


def needed_images(share: float) -> int:
    """Return the smallest number of images that allows a share: n with ⌈(n+1)·share⌉ ≤ n."""
    exact = Fraction(repr(share))
    return ceil(exact / (1 - exact))


def allowed_share(images: int) -> str:
    """Return the largest share that a number of images allows, n/(n+1), rounded down to what is typed briefly."""
    digits = max(2, len(str(images)))
    return f"{int(images * 10**digits / (images + 1)) / 10**digits:g}"
