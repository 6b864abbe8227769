"""Draw objects, as subjects and as clutter about one.

Coordinates are those of a head: about one unit to each side, y down.
"""

from collections.abc import Callable

from copycat.data.synthetic.portable_rng import Chance, Colour, darker
from copycat.data.synthetic.raster import Canvas

INK: Colour = (0.08, 0.08, 0.1)
GREEN: Colour = (0.25, 0.5, 0.2)


def paint_of(chance: Chance) -> Colour:
    """Return a random color of any hue."""
    return chance.hue(saturation=(0.1, 0.9), value=(0.15, 0.95))


def car(canvas: Canvas, chance: Chance) -> None:
    """Draw a car from the side."""
    paint = paint_of(chance)
    roof = chance.between(-0.9, -0.6)
    canvas.polygon([(-0.9, 0.0), (-0.5, roof), (0.5, roof), (1.0, 0.0)], paint)
    canvas.polygon([(-0.7, 0.0), (-0.42, roof + 0.12), (0.42, roof + 0.12), (0.75, 0.0)], (0.7, 0.8, 0.85))
    canvas.box((-1.5, 0.0), (1.5, 0.6), paint)
    for x in (-0.85, 0.85):
        canvas.ellipse((x, 0.6), (0.36, 0.36), INK)
        canvas.ellipse((x, 0.6), (0.16, 0.16), (0.7, 0.7, 0.7))


def house(canvas: Canvas, chance: Chance) -> None:
    """Draw a house with a door and two windows."""
    wall, roof = paint_of(chance), paint_of(chance)
    canvas.box((-1.0, -0.2), (1.0, 1.2), wall)
    canvas.polygon([(-1.2, -0.2), (1.2, -0.2), (chance.between(-0.4, 0.4), -1.3)], roof)
    canvas.box((-0.2, 0.4), (0.25, 1.2), darker(wall, 0.5))
    for x in (-0.6, 0.65):
        canvas.box((x - 0.2, 0.1), (x + 0.2, 0.45), chance.pick(((0.95, 0.85, 0.4), INK)))


def tree(canvas: Canvas, chance: Chance) -> None:
    """Draw a conifer or a broad-leaved tree."""
    leaf = chance.near(GREEN, spread=0.15)
    canvas.box((-0.15, 0.2), (0.15, 1.6), (0.4, 0.28, 0.18))
    if chance.happens(0.5):
        for y in (0.4, -0.2, -0.8):
            canvas.polygon([(-0.9, y + 0.3), (0.9, y + 0.3), (0.0, y - 0.7)], darker(leaf, 1.0 - y * 0.2))
    else:
        for _ in range(6):
            at = (chance.between(-0.6, 0.6), chance.between(-0.9, 0.1))
            canvas.ellipse(at, (0.55, 0.5), darker(leaf, chance.between(0.8, 1.2)))


def flower(canvas: Canvas, chance: Chance) -> None:
    """Draw a flower of six crossed petals."""
    petal = paint_of(chance)
    canvas.stroke((0.0, 0.2), (chance.between(-0.3, 0.3), 2.2), 0.15, GREEN)
    long = chance.between(0.5, 0.7)
    for half in (0.0, 0.268, 0.577, 1.0, 1.732, 3.732):  # tangents of half of 0, 30, 60, 90, 120, 150 degrees
        canvas.ellipse((0.0, 0.0), (long * 1.7, 0.3), petal, turn=half)
    canvas.ellipse((0.0, 0.0), (0.35, 0.35), paint_of(chance))


def boat(canvas: Canvas, chance: Chance) -> None:
    """Draw a boat with two sails."""
    canvas.polygon([(-1.4, 0.6), (1.4, 0.6), (0.9, 1.2), (-0.9, 1.2)], paint_of(chance))
    canvas.stroke((0.0, 0.7), (0.0, -1.5), 0.1, INK)
    for side in (-1.0, 1.0):
        canvas.polygon(
            [(side * 0.1, -1.4), (side * 0.1, 0.4), (side * chance.between(0.6, 1.2), 0.4)], paint_of(chance)
        )


def bird(canvas: Canvas, chance: Chance) -> None:
    """Draw a bird from the side."""
    feather = paint_of(chance)
    canvas.polygon([(-0.8, 0.2), (-1.9, -0.1), (-1.8, 0.5)], darker(feather, 0.7))
    canvas.ellipse((0.0, 0.3), (1.1, 0.65), feather)
    canvas.ellipse((-0.1, 0.25), (0.65, 0.3), darker(feather, 0.7), turn=0.1)
    canvas.ellipse((0.9, -0.4), (0.5, 0.48), feather)
    canvas.polygon([(1.3, -0.5), (1.3, -0.2), (1.8, -0.35)], (0.9, 0.6, 0.2))
    canvas.ellipse((1.05, -0.45), (0.1, 0.1), INK)


def fish(canvas: Canvas, chance: Chance) -> None:
    """Draw a fish from the side."""
    scale = paint_of(chance)
    canvas.polygon([(-0.8, 0.0), (-1.7, -0.6), (-1.7, 0.6)], darker(scale, 0.8))
    canvas.polygon([(-0.4, -0.4), (0.5, -0.4), (-0.2, -1.0)], darker(scale, 0.8))
    canvas.ellipse((0.0, 0.0), (1.2, 0.65), scale)
    for x in (-0.4, 0.0, 0.4):
        canvas.stroke((x, -0.5), (x - 0.1, 0.5), 0.12, darker(scale, 1.3))
    canvas.ellipse((0.8, -0.12), (0.17, 0.17), (0.95, 0.95, 0.9))
    canvas.ellipse((0.82, -0.12), (0.08, 0.08), INK)


def blob(canvas: Canvas, chance: Chance) -> None:
    """Draw an ellipse, sometimes translucent."""
    radii = (chance.between(0.4, 1.2), chance.between(0.4, 1.2))
    canvas.ellipse((0.0, 0.0), radii, paint_of(chance), opacity=chance.between(0.5, 1.0))


def bar(canvas: Canvas, chance: Chance) -> None:
    """Draw a bar across the image."""
    canvas.stroke((-3.0, 0.0), (3.0, 0.0), chance.between(0.1, 0.5), paint_of(chance))


def crate(canvas: Canvas, chance: Chance) -> None:
    """Draw a box."""
    canvas.box((-0.8, -0.6), (0.8, chance.between(0.4, 1.0)), paint_of(chance))


def spike(canvas: Canvas, chance: Chance) -> None:
    """Draw a triangle like an ear, so that an ear alone is no cat."""
    paint, tip = paint_of(chance), (chance.between(-0.4, 0.4), -0.9)
    canvas.polygon([(-0.6, 0.4), (0.6, 0.4), tip], paint)
    canvas.polygon([(-0.35, 0.3), (0.35, 0.3), (tip[0] * 0.6, -0.4)], darker(paint, 0.6))


def bead(canvas: Canvas, chance: Chance) -> None:
    """Draw a disc like an eye, so that an eye alone is no cat."""
    canvas.ellipse((0.0, 0.0), (0.35, 0.3), paint_of(chance))
    canvas.ellipse((0.0, 0.0), (chance.between(0.08, 0.2), 0.25), INK)


THINGS: tuple[Callable[[Canvas, Chance], None], ...] = (car, house, tree, flower, boat, bird, fish)
CLUTTER: tuple[Callable[[Canvas, Chance], None], ...] = (blob, bar, crate, spike, bead)
