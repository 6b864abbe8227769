"""Derive seeds from names and numbers, so that no seed depends on the random numbers drawn before it."""

from hashlib import blake2b


def derive_seed(*parts: str | int) -> int:
    """Return a seed below 2⁶³ that is the same on every machine and in every process."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1
