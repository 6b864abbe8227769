"""Draw objects, as subjects and as clutter about one.

Coordinates are those of a head: about one unit to each side, y down.
"""

from collections.abc import Callable

from copycat.data.synthetic.portable_rng import Color, PortableRNG, scale_brightness
from copycat.data.synthetic.raster import Canvas

INK: Color = (0.08, 0.08, 0.1)
GREEN: Color = (0.25, 0.5, 0.2)


def _random_color(rng: PortableRNG) -> Color:
    return rng.color(saturation=(0.1, 0.9), value=(0.15, 0.95))


def _car(canvas: Canvas, rng: PortableRNG) -> None:
    paint = _random_color(rng)
    roof = rng.uniform(-0.9, -0.6)
    canvas.polygon([(-0.9, 0.0), (-0.5, roof), (0.5, roof), (1.0, 0.0)], paint)
    canvas.polygon([(-0.7, 0.0), (-0.42, roof + 0.12), (0.42, roof + 0.12), (0.75, 0.0)], (0.7, 0.8, 0.85))
    canvas.rectangle((-1.5, 0.0), (1.5, 0.6), paint)
    for x in (-0.85, 0.85):
        canvas.ellipse((x, 0.6), (0.36, 0.36), INK)
        canvas.ellipse((x, 0.6), (0.16, 0.16), (0.7, 0.7, 0.7))


def _house(canvas: Canvas, rng: PortableRNG) -> None:
    wall, roof = _random_color(rng), _random_color(rng)
    canvas.rectangle((-1.0, -0.2), (1.0, 1.2), wall)
    canvas.polygon([(-1.2, -0.2), (1.2, -0.2), (rng.uniform(-0.4, 0.4), -1.3)], roof)
    canvas.rectangle((-0.2, 0.4), (0.25, 1.2), scale_brightness(wall, 0.5))
    for x in (-0.6, 0.65):
        canvas.rectangle((x - 0.2, 0.1), (x + 0.2, 0.45), rng.choice(((0.95, 0.85, 0.4), INK)))


def _tree(canvas: Canvas, rng: PortableRNG) -> None:
    leaf = rng.jitter(GREEN, spread=0.15)
    canvas.rectangle((-0.15, 0.2), (0.15, 1.6), (0.4, 0.28, 0.18))
    if rng.bernoulli(0.5):
        for y in (0.4, -0.2, -0.8):
            canvas.polygon([(-0.9, y + 0.3), (0.9, y + 0.3), (0.0, y - 0.7)], scale_brightness(leaf, 1.0 - y * 0.2))
    else:
        for _ in range(6):
            at = (rng.uniform(-0.6, 0.6), rng.uniform(-0.9, 0.1))
            canvas.ellipse(at, (0.55, 0.5), scale_brightness(leaf, rng.uniform(0.8, 1.2)))


def _flower(canvas: Canvas, rng: PortableRNG) -> None:
    petal = _random_color(rng)
    canvas.line((0.0, 0.2), (rng.uniform(-0.3, 0.3), 2.2), 0.15, GREEN)
    long = rng.uniform(0.5, 0.7)
    for half in (0.0, 0.268, 0.577, 1.0, 1.732, 3.732):  # tangents of half of 0, 30, 60, 90, 120, 150 degrees
        canvas.ellipse((0.0, 0.0), (long * 1.7, 0.3), petal, turn=half)
    canvas.ellipse((0.0, 0.0), (0.35, 0.35), _random_color(rng))


def _boat(canvas: Canvas, rng: PortableRNG) -> None:
    canvas.polygon([(-1.4, 0.6), (1.4, 0.6), (0.9, 1.2), (-0.9, 1.2)], _random_color(rng))
    canvas.line((0.0, 0.7), (0.0, -1.5), 0.1, INK)
    for side in (-1.0, 1.0):
        canvas.polygon([(side * 0.1, -1.4), (side * 0.1, 0.4), (side * rng.uniform(0.6, 1.2), 0.4)], _random_color(rng))


def _bird(canvas: Canvas, rng: PortableRNG) -> None:
    feather = _random_color(rng)
    canvas.polygon([(-0.8, 0.2), (-1.9, -0.1), (-1.8, 0.5)], scale_brightness(feather, 0.7))
    canvas.ellipse((0.0, 0.3), (1.1, 0.65), feather)
    canvas.ellipse((-0.1, 0.25), (0.65, 0.3), scale_brightness(feather, 0.7), turn=0.1)
    canvas.ellipse((0.9, -0.4), (0.5, 0.48), feather)
    canvas.polygon([(1.3, -0.5), (1.3, -0.2), (1.8, -0.35)], (0.9, 0.6, 0.2))
    canvas.ellipse((1.05, -0.45), (0.1, 0.1), INK)


def _fish(canvas: Canvas, rng: PortableRNG) -> None:
    scale = _random_color(rng)
    canvas.polygon([(-0.8, 0.0), (-1.7, -0.6), (-1.7, 0.6)], scale_brightness(scale, 0.8))
    canvas.polygon([(-0.4, -0.4), (0.5, -0.4), (-0.2, -1.0)], scale_brightness(scale, 0.8))
    canvas.ellipse((0.0, 0.0), (1.2, 0.65), scale)
    for x in (-0.4, 0.0, 0.4):
        canvas.line((x, -0.5), (x - 0.1, 0.5), 0.12, scale_brightness(scale, 1.3))
    canvas.ellipse((0.8, -0.12), (0.17, 0.17), (0.95, 0.95, 0.9))
    canvas.ellipse((0.82, -0.12), (0.08, 0.08), INK)


def _blob(canvas: Canvas, rng: PortableRNG) -> None:
    radii = (rng.uniform(0.4, 1.2), rng.uniform(0.4, 1.2))
    canvas.ellipse((0.0, 0.0), radii, _random_color(rng), opacity=rng.uniform(0.5, 1.0))


def _bar(canvas: Canvas, rng: PortableRNG) -> None:
    canvas.line((-3.0, 0.0), (3.0, 0.0), rng.uniform(0.1, 0.5), _random_color(rng))


def _crate(canvas: Canvas, rng: PortableRNG) -> None:
    canvas.rectangle((-0.8, -0.6), (0.8, rng.uniform(0.4, 1.0)), _random_color(rng))


def _spike(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a triangle like an ear, so that an ear alone is no cat."""
    paint, tip = _random_color(rng), (rng.uniform(-0.4, 0.4), -0.9)
    canvas.polygon([(-0.6, 0.4), (0.6, 0.4), tip], paint)
    canvas.polygon([(-0.35, 0.3), (0.35, 0.3), (tip[0] * 0.6, -0.4)], scale_brightness(paint, 0.6))


def _bead(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a disc like an eye, so that an eye alone is no cat."""
    canvas.ellipse((0.0, 0.0), (0.35, 0.3), _random_color(rng))
    canvas.ellipse((0.0, 0.0), (rng.uniform(0.08, 0.2), 0.25), INK)


Subject = Callable[[Canvas, PortableRNG], None]

OBJECTS: tuple[Subject, ...] = (_car, _house, _tree, _flower, _boat, _bird, _fish)
CLUTTER: tuple[Subject, ...] = (_blob, _bar, _crate, _spike, _bead)
