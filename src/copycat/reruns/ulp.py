"""Compare two numbers bit by bit, without tolerance and without torch."""

import math
import struct
from dataclasses import dataclass

_FORMATS = {16: "<e", 32: "<f", 64: "<d"}
_WHOLE = {16: "<H", 32: "<I", 64: "<Q"}


def bit_pattern(value: float, *, width: int) -> int:
    """Return the bits of a number as IEEE 754 binary16, binary32 or binary64, by the width in bits.

    Raises:
        OverflowError: where it is finite and too large for that width.
    """
    return int(struct.unpack(_WHOLE[width], struct.pack(_FORMATS[width], value))[0])


def is_single(value: float) -> bool:
    """Return whether a float32 can represent the value exactly."""
    try:
        single = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return False
    return bit_pattern(single, width=64) == bit_pattern(value, width=64)


def ulps(before: int, after: int, *, width: int) -> int:
    """Return the distance between two bit patterns of one floating-point format, in units in the last place.

    0 and -0 are equal. One step leads from the largest finite value to infinity; nan has no distance. The formats are
    ordered as sign and magnitude, bfloat16 included.
    """
    return abs(_ordinal(after, width) - _ordinal(before, width))


def _ordinal(bits: int, width: int) -> int:
    sign = 1 << (width - 1)
    return -(bits ^ sign) if bits & sign else bits


@dataclass(frozen=True)
class NumberPair:
    """Hold a number before and after, in a format that represents both."""

    before: float
    after: float
    before_bits: int
    after_bits: int
    width: int

    @classmethod
    def of(cls, before: float, after: float) -> "NumberPair":
        """Make a pair of recorded metrics, as float32 where both can be."""
        width = 32 if is_single(before) and is_single(after) else 64
        return cls(before, after, bit_pattern(before, width=width), bit_pattern(after, width=width), width)

    @property
    def is_identical(self) -> bool:
        """Return whether both have the same bits."""
        return self.before_bits == self.after_bits

    @property
    def distance(self) -> float:
        """Return the absolute distance; infinite where they differ and one is not finite."""
        if self.is_identical:
            return 0.0
        return abs(self.after - self.before) if self._finite else math.inf

    @property
    def ulps(self) -> int | None:
        """Return the distance in units in the last place; None where one is not finite and they differ."""
        return ulps(self.before_bits, self.after_bits, width=self.width) if self.is_identical or self._finite else None

    @property
    def description(self) -> str:
        """Format the distance."""
        for value, when in ((self.before, "before"), (self.after, "after")):
            if not self.is_identical and not math.isfinite(value):
                return f"none: {'not a number' if math.isnan(value) else 'infinite'} {when}"
        steps = self.ulps
        if steps == 0 and not self.is_identical:
            return "0 ulps: their signs differ"
        return "1 ulp" if steps == 1 else f"{steps} ulps"

    @property
    def scaled(self) -> float:
        """Return the distance, relative to the number before where that is larger than 1."""
        return self.distance / max(1.0, abs(self.before)) if self._finite else self.distance

    def format(self) -> tuple[str, str]:
        """Format both values with their bits."""
        digits = self.width // 4
        return f"{self.before!r}\n0x{self.before_bits:0{digits}x}", f"{self.after!r}\n0x{self.after_bits:0{digits}x}"

    @property
    def _finite(self) -> bool:
        return math.isfinite(self.before) and math.isfinite(self.after)
