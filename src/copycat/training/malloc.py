"""What the C library does with memory that is let go: GNU's; another's is left as it is."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""


def keep_memory() -> None:
    """Have what a step lets go kept for the next one, from now on.

    Large pieces are handed back to the system otherwise, which clears each page of them before it gives it out again:
    up to a sixth of a convolutional network's step, and a tenth of a pack's.
    """
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for most in (2**25, 2**30):  # mallopt(3): older ones take no more than the first
            mallopt(M_MMAP_THRESHOLD, most)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Hand what is free now to the system."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
