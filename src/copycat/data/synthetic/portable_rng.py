"""Generate random numbers that are the same on every machine and with every release of NumPy."""

from collections.abc import Sequence
from hashlib import blake2b
from math import sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Choice = TypeVar("Choice")
Floats = NDArray[np.float64]
Color = tuple[float, float, float]  # red, green and blue; 0 is black, 1 is white


class PortableRNG:
    """Generate an independent stream of random numbers for each key.

    Only the raw words of PCG64 are used: NumPy guarantees these, but not the methods of its Generator.
    """

    def __init__(self, *key: int | str) -> None:
        """Seed the stream by a hash of the key."""
        seed = int.from_bytes(blake2b(repr(key).encode(), digest_size=16).digest(), "little")
        self._bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float) -> float:
        """Return a number uniform in [low, high)."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def bernoulli(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.uniform(0.0, 1.0) < probability

    def randbelow(self, stop: int) -> int:
        """Return a whole number uniform from 0 to below `stop`."""
        return int(self.uniform(0.0, stop))

    def choice(self, choices: Sequence[Choice]) -> Choice:
        """Return one of the choices, all equally likely."""
        return choices[self.randbelow(len(choices))]

    def color(self, *, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
        """Return a color of any hue, with saturation and value in these ranges."""
        return hsv_to_rgb(self.uniform(0.0, 1.0), self.uniform(*saturation), self.uniform(*value))

    def jitter(self, color: Color, *, spread: float) -> Color:
        """Return a color whose channels differ from the given one by at most `spread`."""
        red, green, blue = (channel + self.uniform(-spread, spread) for channel in color)
        return red, green, blue

    def uniform_array(self, *shape: int) -> Floats:
        """Return an array of this shape, each element uniform in [0, 1)."""
        raw = np.asarray(self._bits.random_raw(int(np.prod(shape))))
        return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def normal_array(self, *shape: int) -> Floats:
        """Return an array of this shape, each element approximately normal with mean 0 and standard deviation 1.

        Each is the sum of the four 16-bit quarters of a word, as integers: a logarithm or a cosine may differ in its
        last bit between machines.
        """
        raw = np.asarray(self._bits.random_raw(int(np.prod(shape))))
        mask = np.uint64(0xFFFF)
        quarters = sum((raw >> np.uint64(shift)) & mask for shift in (16, 32, 48)) + (raw & mask)
        deviation = 65536 / sqrt(3)  # of four uniforms, each of deviation 65536 / √12
        return ((quarters.astype(np.float64) - 2 * 65535) / deviation).reshape(shape)


def hsv_to_rgb(hue: float, saturation: float, value: float) -> Color:
    """Convert hue, saturation and value, all in [0, 1], to a color."""

    def channel(offset: float) -> float:
        sector = (offset + hue * 6) % 6
        return value - value * saturation * max(0.0, min(sector, 4 - sector, 1.0))

    return channel(5), channel(3), channel(1)


def scale_brightness(color: Color, factor: float) -> Color:
    """Scale a color towards black, or towards white where the factor is over 1."""
    red, green, blue = (min(1.0, channel * factor) for channel in color)
    return red, green, blue
