"""Tune how glibc allocates memory; other C libraries ignore it."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # constants of malloc.h


def keep_memory() -> None:
    """Keep freed memory for the next step.

    By default, large blocks are returned to the system, which clears each page again: up to a sixth of a convolutional
    network's step, and a tenth of a pack's.
    """
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for most in (2**25, 2**30):  # mallopt(3): older versions accept the first at most
            mallopt(M_MMAP_THRESHOLD, most)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def trim_memory() -> None:
    """Return free memory to the system."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
