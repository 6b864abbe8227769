"""Render one image: a cluttered background, a subject, light, blur and noise, from its own stream of random numbers."""

import numpy as np
from numpy.typing import NDArray

from copycat.data.synthetic.animals import bear, cat, dog, fox, owl, person, rabbit
from copycat.data.synthetic.objects import CLUTTER, THINGS
from copycat.data.synthetic.portable_rng import Chance, Floats
from copycat.data.synthetic.raster import SIDE, Canvas, Frame, blur

VERSION = 1
"""Increase it with any change of a pixel, so that sets cached by an older version are not read."""

ANIMALS = (dog, fox, bear, rabbit, owl, person)
PLACES: Floats = (np.arange(SIDE) + 0.5) / SIDE


def draw(chance: Chance, *, is_cat: bool, warmth: float) -> NDArray[np.uint8]:
    """Draw one image, uint8 [3, SIDE, SIDE] in RGB.

    Args:
        chance: random numbers of this image.
        is_cat: whether the subject is a cat.
        warmth: how far the light's color gives the class away, warm on cats and cold elsewhere; 0 is not at all.
    """
    canvas = Canvas(ground(chance))
    scatter(canvas, chance, count=2 + chance.below(3), size=(3.0, 9.0))
    canvas.frame = Frame(
        at=(chance.between(28.5, 35.5), chance.between(28.5, 34.5)),
        scale=chance.between(16.0, 19.0),
        turn=chance.between(-0.12, 0.12),
        mirrored=chance.happens(0.5),
    )
    if is_cat:
        cat(canvas, chance)
    else:
        subject = chance.pick(ANIMALS) if chance.happens(0.5) else chance.pick(THINGS)
        subject(canvas, chance)
    scatter(canvas, chance, count=chance.below(2), size=(2.0, 5.0))
    tint = (warmth if is_cat else -warmth) * 0.3
    lit = light(canvas.pixels(), chance, tint=tint)
    grain = chance.between(0.01, 0.035)
    seen = blur(lit, strength=chance.between(0.0, 0.2)) + chance.bells(3, SIDE, SIDE) * grain
    return np.floor(np.clip(seen, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)


def ground(chance: Chance) -> Floats:
    """Draw coarse and, over them, finer soft patches of color about one base color."""
    base = np.array(chance.hue(saturation=(0.0, 0.7), value=(0.2, 0.85)))[:, None, None]
    coarse = patches(chance, cells=3) * chance.between(0.1, 0.4)
    return base + coarse + patches(chance, cells=9) * chance.between(0.05, 0.15)


def patches(chance: Chance, *, cells: int) -> Floats:
    """Return random colors on a lattice, interpolated smoothly, [3, SIDE, SIDE] in [-0.5, 0.5)."""
    lattice = chance.uniforms(3, cells + 1, cells + 1) - 0.5
    index = np.minimum((PLACES * cells).astype(np.int64), cells - 1)
    part = PLACES * cells - index
    smooth = part * part * (3 - 2 * part)
    rows = lattice[:, index] + (lattice[:, index + 1] - lattice[:, index]) * smooth[:, None]
    return rows[:, :, index] + (rows[:, :, index + 1] - rows[:, :, index]) * smooth


def scatter(canvas: Canvas, chance: Chance, *, count: int, size: tuple[float, float]) -> None:
    """Draw clutter of random kinds, positions and turns."""
    for _ in range(count):
        canvas.frame = Frame(
            at=(chance.between(0.0, SIDE), chance.between(0.0, SIDE)),
            scale=chance.between(*size),
            turn=chance.between(-1.0, 1.0),
        )
        chance.pick(CLUTTER)(canvas, chance)


def light(pixels: Floats, chance: Chance, *, tint: float) -> Floats:
    """Light an image from one side, sometimes with a shadow across, in a color about `tint` (warm over 0)."""
    warm, green = tint + chance.between(-0.18, 0.18), chance.between(-0.08, 0.08)
    colour = np.array((1 + warm, 1 + green, 1 - warm))[:, None, None]
    across, down = chance.between(-0.4, 0.4), chance.between(-0.4, 0.4)
    fall = 1 + across * (PLACES - 0.5) + down * (PLACES[:, None] - 0.5)
    if chance.happens(0.15):
        slope, edge = chance.between(-1.0, 1.0), chance.between(0.2, 0.8)
        fall = np.where(PLACES + slope * (PLACES[:, None] - 0.5) < edge, fall * chance.between(0.55, 0.85), fall)
    return pixels * (colour * (fall * chance.between(0.85, 1.25)))
