"""Draw objects, as subjects and as clutter about one.

Coordinates are those of a head: about one unit to each side, y down.
"""

from collections.abc import Callable

from copycat.data.synthetic.portable_rng import Color, PortableRNG, scale_brightness
from copycat.data.synthetic.raster import Canvas

INK: Color = (0.08, 0.08, 0.1)
GREEN: Color = (0.25, 0.5, 0.2)


def random_color(rng: PortableRNG) -> Color:
    """Return a random color of any hue."""
    return rng.color(saturation=(0.1, 0.9), value=(0.15, 0.95))


def draw_car(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a car from the side."""
    paint = random_color(rng)
    roof = rng.uniform(-0.9, -0.6)
    canvas.polygon([(-0.9, 0.0), (-0.5, roof), (0.5, roof), (1.0, 0.0)], paint)
    canvas.polygon([(-0.7, 0.0), (-0.42, roof + 0.12), (0.42, roof + 0.12), (0.75, 0.0)], (0.7, 0.8, 0.85))
    canvas.rectangle((-1.5, 0.0), (1.5, 0.6), paint)
    for x in (-0.85, 0.85):
        canvas.ellipse((x, 0.6), (0.36, 0.36), INK)
        canvas.ellipse((x, 0.6), (0.16, 0.16), (0.7, 0.7, 0.7))


def draw_house(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a house with a door and two windows."""
    wall, roof = random_color(rng), random_color(rng)
    canvas.rectangle((-1.0, -0.2), (1.0, 1.2), wall)
    canvas.polygon([(-1.2, -0.2), (1.2, -0.2), (rng.uniform(-0.4, 0.4), -1.3)], roof)
    canvas.rectangle((-0.2, 0.4), (0.25, 1.2), scale_brightness(wall, 0.5))
    for x in (-0.6, 0.65):
        canvas.rectangle((x - 0.2, 0.1), (x + 0.2, 0.45), rng.choice(((0.95, 0.85, 0.4), INK)))


def draw_tree(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a conifer or a broad-leaved tree."""
    leaf = rng.jitter(GREEN, spread=0.15)
    canvas.rectangle((-0.15, 0.2), (0.15, 1.6), (0.4, 0.28, 0.18))
    if rng.bernoulli(0.5):
        for y in (0.4, -0.2, -0.8):
            canvas.polygon([(-0.9, y + 0.3), (0.9, y + 0.3), (0.0, y - 0.7)], scale_brightness(leaf, 1.0 - y * 0.2))
    else:
        for _ in range(6):
            at = (rng.uniform(-0.6, 0.6), rng.uniform(-0.9, 0.1))
            canvas.ellipse(at, (0.55, 0.5), scale_brightness(leaf, rng.uniform(0.8, 1.2)))


def draw_flower(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a flower of six crossed petals."""
    petal = random_color(rng)
    canvas.line((0.0, 0.2), (rng.uniform(-0.3, 0.3), 2.2), 0.15, GREEN)
    long = rng.uniform(0.5, 0.7)
    for half in (0.0, 0.268, 0.577, 1.0, 1.732, 3.732):  # tangents of half of 0, 30, 60, 90, 120, 150 degrees
        canvas.ellipse((0.0, 0.0), (long * 1.7, 0.3), petal, turn=half)
    canvas.ellipse((0.0, 0.0), (0.35, 0.35), random_color(rng))


def draw_boat(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a boat with two sails."""
    canvas.polygon([(-1.4, 0.6), (1.4, 0.6), (0.9, 1.2), (-0.9, 1.2)], random_color(rng))
    canvas.line((0.0, 0.7), (0.0, -1.5), 0.1, INK)
    for side in (-1.0, 1.0):
        canvas.polygon([(side * 0.1, -1.4), (side * 0.1, 0.4), (side * rng.uniform(0.6, 1.2), 0.4)], random_color(rng))


def draw_bird(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a bird from the side."""
    feather = random_color(rng)
    canvas.polygon([(-0.8, 0.2), (-1.9, -0.1), (-1.8, 0.5)], scale_brightness(feather, 0.7))
    canvas.ellipse((0.0, 0.3), (1.1, 0.65), feather)
    canvas.ellipse((-0.1, 0.25), (0.65, 0.3), scale_brightness(feather, 0.7), turn=0.1)
    canvas.ellipse((0.9, -0.4), (0.5, 0.48), feather)
    canvas.polygon([(1.3, -0.5), (1.3, -0.2), (1.8, -0.35)], (0.9, 0.6, 0.2))
    canvas.ellipse((1.05, -0.45), (0.1, 0.1), INK)


def draw_fish(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a fish from the side."""
    scale = random_color(rng)
    canvas.polygon([(-0.8, 0.0), (-1.7, -0.6), (-1.7, 0.6)], scale_brightness(scale, 0.8))
    canvas.polygon([(-0.4, -0.4), (0.5, -0.4), (-0.2, -1.0)], scale_brightness(scale, 0.8))
    canvas.ellipse((0.0, 0.0), (1.2, 0.65), scale)
    for x in (-0.4, 0.0, 0.4):
        canvas.line((x, -0.5), (x - 0.1, 0.5), 0.12, scale_brightness(scale, 1.3))
    canvas.ellipse((0.8, -0.12), (0.17, 0.17), (0.95, 0.95, 0.9))
    canvas.ellipse((0.82, -0.12), (0.08, 0.08), INK)


def draw_blob(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw an ellipse, sometimes translucent."""
    radii = (rng.uniform(0.4, 1.2), rng.uniform(0.4, 1.2))
    canvas.ellipse((0.0, 0.0), radii, random_color(rng), opacity=rng.uniform(0.5, 1.0))


def draw_bar(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a bar across the image."""
    canvas.line((-3.0, 0.0), (3.0, 0.0), rng.uniform(0.1, 0.5), random_color(rng))


def draw_crate(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a box."""
    canvas.rectangle((-0.8, -0.6), (0.8, rng.uniform(0.4, 1.0)), random_color(rng))


def draw_spike(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a triangle like an ear, so that an ear alone is no cat."""
    paint, tip = random_color(rng), (rng.uniform(-0.4, 0.4), -0.9)
    canvas.polygon([(-0.6, 0.4), (0.6, 0.4), tip], paint)
    canvas.polygon([(-0.35, 0.3), (0.35, 0.3), (tip[0] * 0.6, -0.4)], scale_brightness(paint, 0.6))


def draw_bead(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a disc like an eye, so that an eye alone is no cat."""
    canvas.ellipse((0.0, 0.0), (0.35, 0.3), random_color(rng))
    canvas.ellipse((0.0, 0.0), (rng.uniform(0.08, 0.2), 0.25), INK)


Subject = Callable[[Canvas, PortableRNG], None]

OBJECTS: tuple[Subject, ...] = (draw_car, draw_house, draw_tree, draw_flower, draw_boat, draw_bird, draw_fish)
CLUTTER: tuple[Subject, ...] = (draw_blob, draw_bar, draw_crate, draw_spike, draw_bead)
