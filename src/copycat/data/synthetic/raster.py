"""Draw shapes on a grid of pixels by IEEE-exact operations alone, so that every machine gets the same pixels.

That is + - * / and sqrt in float64, integers and comparisons. No sin, exp or pow (they differ between math libraries),
and no sum, mean or matmul (their order of addition differs between processors).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from copycat.data.synthetic.portable_rng import Color, Floats

SIDE = 64
SUPERSAMPLING = 4  # points of the fine grid along a pixel's side
CENTERS: Floats = (np.arange(SIDE * SUPERSAMPLING) + 0.5) / SUPERSAMPLING  # of the fine grid's points, in pixels

Point = tuple[float, float]


def cosine_and_sine(half: float) -> Point:
    """Return cosine and sine of the angle whose half has this tangent: 0 is no turn, ±1 a quarter turn."""
    return (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Place a subject: turn, scale and move its own coordinates (x to the right, y down) into the image."""

    at: Point
    """Position of the subject's origin, in pixels."""
    scale: float
    """Pixels per unit of the subject."""
    turn: float = 0.0
    """Tangent of half the angle, clockwise."""
    mirrored: bool = False

    def to_pixels(self, point: Point) -> Point:
        """Convert a point of the subject to pixels."""
        dx, dy = self.rotate(point)
        return self.at[0] + self.scale * dx, self.at[1] + self.scale * dy

    def rotate(self, vector: Point) -> Point:
        """Mirror and turn a vector, without scaling it."""
        x, y = (-vector[0] if self.mirrored else vector[0]), vector[1]
        cosine, sine = cosine_and_sine(self.turn)
        return x * cosine - y * sine, x * sine + y * cosine


class Canvas:
    """Draw shapes in `frame`'s coordinates on a grid SUPERSAMPLING times as fine as the image's pixels."""

    def __init__(self, ground: Floats) -> None:
        """Start with the background, [3, SIDE, SIDE], 0 black and 1 white."""
        self.fine: Floats = ground.repeat(SUPERSAMPLING, axis=1).repeat(SUPERSAMPLING, axis=2)
        self.frame = Frame(at=(0.0, 0.0), scale=1.0)

    def ellipse(self, at: Point, radii: Point, color: Color, *, turn: float = 0.0, opacity: float = 1.0) -> None:
        """Draw an ellipse about a point, turned by `turn` (tangent of half the angle)."""
        x, y = self.frame.to_pixels(at)
        along, across = radii[0] * self.frame.scale, radii[1] * self.frame.scale
        cosine, sine = self.frame.rotate(cosine_and_sine(turn))
        wide = sqrt(along * along * cosine * cosine + across * across * sine * sine)
        high = sqrt(along * along * sine * sine + across * across * cosine * cosine)
        rows, columns = _span(y - high, y + high), _span(x - wide, x + wide)
        dx, dy = CENTERS[columns] - x, CENTERS[rows, None] - y
        u = dx * (cosine / along) + dy * (sine / along)
        v = dy * (cosine / across) - dx * (sine / across)
        self._paint(rows, columns, u * u + v * v <= 1.0, color, opacity)

    def polygon(self, corners: Sequence[Point], color: Color, *, opacity: float = 1.0) -> None:
        """Draw a convex polygon, its corners in either order."""
        points = [self.frame.to_pixels(corner) for corner in corners]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        rows, columns = _span(min(ys), max(ys)), _span(min(xs), max(xs))
        x, y = CENTERS[columns], CENTERS[rows, None]
        left = np.ones((y.shape[0], x.shape[0]), dtype=np.bool_)
        right = left.copy()
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            side = (y - ay) * (bx - ax) - (x - ax) * (by - ay)
            left &= side >= 0
            right &= side <= 0
        self._paint(rows, columns, left | right, color, opacity)

    def line(self, start: Point, end: Point, width: float, color: Color, *, opacity: float = 1.0) -> None:
        """Draw a line of this width."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        half = width / 2 / sqrt(dx * dx + dy * dy)
        nx, ny = -dy * half, dx * half
        corners = [(start[0] + nx, start[1] + ny), (end[0] + nx, end[1] + ny)]
        corners += [(end[0] - nx, end[1] - ny), (start[0] - nx, start[1] - ny)]
        self.polygon(corners, color, opacity=opacity)

    def rectangle(self, start: Point, end: Point, color: Color) -> None:
        """Draw a box that is upright in `frame`, from two opposite corners."""
        self.polygon([start, (end[0], start[1]), end, (start[0], end[1])], color)

    def pixels(self) -> Floats:
        """Return the mean over the fine grid, [3, SIDE, SIDE]."""
        rows = self.fine[:, ::SUPERSAMPLING]
        for offset in range(1, SUPERSAMPLING):
            rows = rows + self.fine[:, offset::SUPERSAMPLING]
        total = rows[:, :, ::SUPERSAMPLING]
        for offset in range(1, SUPERSAMPLING):
            total = total + rows[:, :, offset::SUPERSAMPLING]
        return total / (SUPERSAMPLING * SUPERSAMPLING)

    def _paint(self, rows: slice, columns: slice, mask: NDArray[np.bool_], color: Color, opacity: float) -> None:
        for plane, value in zip(self.fine[:, rows, columns], color, strict=True):
            np.copyto(plane, value if opacity == 1.0 else plane + (value - plane) * opacity, where=mask)


def blur(pixels: Floats, *, strength: float) -> Floats:
    """Mix each pixel with its four neighbors; 0 leaves it alone, 0.25 gives the neighbors half of the sum."""
    edged = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = edged[:, 1:-1, :-2] + edged[:, 1:-1, 2:]
    down = edged[:, :-2, 1:-1] + edged[:, 2:, 1:-1]
    return (pixels + (across + down) * strength) / (1 + 4 * strength)


def _span(low: float, high: float) -> slice:
    """Return the fine grid's points between two positions in the image; empty where they lie outside it."""
    size = SIDE * SUPERSAMPLING
    first, last = int(max(0.0, min(low, SIDE)) * SUPERSAMPLING), int(max(0.0, min(high, SIDE)) * SUPERSAMPLING) + 1
    return slice(first, min(last, size))
