"""Draw shapes on a grid of pixels by IEEE-exact operations alone, so that every machine gets the same pixels.

That is + - * / and sqrt in float64, integers and comparisons. No sin, exp or pow (they differ between math libraries),
and no sum, mean or matmul (their order of addition differs between processors).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from copycat.data.synthetic.portable_rng import Colour, Floats

SIDE = 64
FINE = 4  # points of the fine grid along a pixel's side
CENTRES: Floats = (np.arange(SIDE * FINE) + 0.5) / FINE  # of the fine grid's points, in pixels

Point = tuple[float, float]


def turned(half: float) -> Point:
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

    def point(self, point: Point) -> Point:
        """Convert a point of the subject to pixels."""
        dx, dy = self.direction(point)
        return self.at[0] + self.scale * dx, self.at[1] + self.scale * dy

    def direction(self, vector: Point) -> Point:
        """Mirror and turn a vector, without scaling it."""
        x, y = (-vector[0] if self.mirrored else vector[0]), vector[1]
        cosine, sine = turned(self.turn)
        return x * cosine - y * sine, x * sine + y * cosine


WHOLE = Frame(at=(0.0, 0.0), scale=1.0)


class Canvas:
    """Draw shapes in `frame`'s coordinates on a grid FINE times as fine as the image's pixels.

    Args:
        ground: background, [3, SIDE, SIDE], 0 black and 1 white.
    """

    def __init__(self, ground: Floats) -> None:
        """Start with the background."""
        self.fine: Floats = ground.repeat(FINE, axis=1).repeat(FINE, axis=2)
        self.frame = WHOLE

    def ellipse(self, at: Point, radii: Point, colour: Colour, *, turn: float = 0.0, opacity: float = 1.0) -> None:
        """Draw an ellipse about a point, turned by `turn` (tangent of half the angle)."""
        x, y = self.frame.point(at)
        along, across = radii[0] * self.frame.scale, radii[1] * self.frame.scale
        cosine, sine = self.frame.direction(turned(turn))
        wide = sqrt(along * along * cosine * cosine + across * across * sine * sine)
        high = sqrt(along * along * sine * sine + across * across * cosine * cosine)
        rows, columns = _span(y - high, y + high), _span(x - wide, x + wide)
        dx, dy = CENTRES[columns] - x, CENTRES[rows, None] - y
        u = dx * (cosine / along) + dy * (sine / along)
        v = dy * (cosine / across) - dx * (sine / across)
        self._paint(rows, columns, u * u + v * v <= 1.0, colour, opacity)

    def polygon(self, corners: Sequence[Point], colour: Colour, *, opacity: float = 1.0) -> None:
        """Draw a convex polygon, its corners in either order."""
        points = [self.frame.point(corner) for corner in corners]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        rows, columns = _span(min(ys), max(ys)), _span(min(xs), max(xs))
        x, y = CENTRES[columns], CENTRES[rows, None]
        left = np.ones((y.shape[0], x.shape[0]), dtype=np.bool_)
        right = left.copy()
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            side = (y - ay) * (bx - ax) - (x - ax) * (by - ay)
            left &= side >= 0
            right &= side <= 0
        self._paint(rows, columns, left | right, colour, opacity)

    def stroke(self, start: Point, end: Point, width: float, colour: Colour, *, opacity: float = 1.0) -> None:
        """Draw a line of this width."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        half = width / 2 / sqrt(dx * dx + dy * dy)
        nx, ny = -dy * half, dx * half
        corners = [(start[0] + nx, start[1] + ny), (end[0] + nx, end[1] + ny)]
        corners += [(end[0] - nx, end[1] - ny), (start[0] - nx, start[1] - ny)]
        self.polygon(corners, colour, opacity=opacity)

    def box(self, start: Point, end: Point, colour: Colour) -> None:
        """Draw a box that is upright in `frame`, from two opposite corners."""
        self.polygon([start, (end[0], start[1]), end, (start[0], end[1])], colour)

    def pixels(self) -> Floats:
        """Return the mean over the fine grid, [3, SIDE, SIDE]."""
        rows = self.fine[:, ::FINE]
        for offset in range(1, FINE):
            rows = rows + self.fine[:, offset::FINE]
        total = rows[:, :, ::FINE]
        for offset in range(1, FINE):
            total = total + rows[:, :, offset::FINE]
        return total / (FINE * FINE)

    def _paint(self, rows: slice, columns: slice, mask: NDArray[np.bool_], colour: Colour, opacity: float) -> None:
        for plane, value in zip(self.fine[:, rows, columns], colour, strict=True):
            np.copyto(plane, value if opacity == 1.0 else plane + (value - plane) * opacity, where=mask)


def blur(pixels: Floats, *, strength: float) -> Floats:
    """Mix each pixel with its four neighbors; 0 leaves it alone, 0.25 gives the neighbors half of the sum."""
    edged = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = edged[:, 1:-1, :-2] + edged[:, 1:-1, 2:]
    down = edged[:, :-2, 1:-1] + edged[:, 2:, 1:-1]
    return (pixels + (across + down) * strength) / (1 + 4 * strength)


def _span(low: float, high: float) -> slice:
    """Return the fine grid's points between two positions in the image; empty where they lie outside it."""
    size = SIDE * FINE
    first, last = int(max(0.0, min(low, SIDE)) * FINE), int(max(0.0, min(high, SIDE)) * FINE) + 1
    return slice(first, min(last, size))
