"""Seeds that are a function of names and numbers, so that nothing depends on who drew before."""

from hashlib import blake2b


def key(*parts: str | int) -> int:
    """A seed below 2⁶³, the same on every machine and in every process."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1
