"""Render one image: a cluttered background, a subject, light, blur and noise, from its own stream of random numbers."""

import numpy as np
from numpy.typing import NDArray

from copycat.data.synthetic.animals import draw_bear, draw_cat, draw_dog, draw_fox, draw_owl, draw_person, draw_rabbit
from copycat.data.synthetic.objects import CLUTTER, OBJECTS
from copycat.data.synthetic.portable_rng import Floats, PortableRNG
from copycat.data.synthetic.raster import SIDE, Canvas, Frame, blur

VERSION = 1  # increase it with any change of a pixel, so that sets cached by an older version are not read

ANIMALS = (draw_dog, draw_fox, draw_bear, draw_rabbit, draw_owl, draw_person)
PIXEL_CENTERS: Floats = (np.arange(SIDE) + 0.5) / SIDE


def draw_image(rng: PortableRNG, *, is_cat: bool, warmth: float) -> NDArray[np.uint8]:
    """Draw one image, uint8 [3, SIDE, SIDE] in RGB.

    Warmth is how far the light's color gives the class away, warm on cats and cold elsewhere; 0 is not at all.
    """
    canvas = Canvas(draw_background(rng))
    draw_clutter(canvas, rng, count=2 + rng.randbelow(3), size=(3.0, 9.0))
    canvas.frame = Frame(
        at=(rng.uniform(28.5, 35.5), rng.uniform(28.5, 34.5)),
        scale=rng.uniform(16.0, 19.0),
        turn=rng.uniform(-0.12, 0.12),
        mirrored=rng.bernoulli(0.5),
    )
    if is_cat:
        draw_cat(canvas, rng)
    else:
        subject = rng.choice(ANIMALS) if rng.bernoulli(0.5) else rng.choice(OBJECTS)
        subject(canvas, rng)
    draw_clutter(canvas, rng, count=rng.randbelow(2), size=(2.0, 5.0))
    tint = (warmth if is_cat else -warmth) * 0.3
    lit = apply_light(canvas.pixels(), rng, tint=tint)
    grain = rng.uniform(0.01, 0.035)
    seen = blur(lit, strength=rng.uniform(0.0, 0.2)) + rng.normal_array(3, SIDE, SIDE) * grain
    return np.floor(np.clip(seen, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)


def draw_background(rng: PortableRNG) -> Floats:
    """Draw coarse and, over them, finer soft patches of color about one base color."""
    base = np.array(rng.color(saturation=(0.0, 0.7), value=(0.2, 0.85)))[:, None, None]
    coarse = smooth_noise(rng, cells=3) * rng.uniform(0.1, 0.4)
    return base + coarse + smooth_noise(rng, cells=9) * rng.uniform(0.05, 0.15)


def smooth_noise(rng: PortableRNG, *, cells: int) -> Floats:
    """Return random colors on a lattice, interpolated smoothly, [3, SIDE, SIDE] in [-0.5, 0.5)."""
    lattice = rng.uniform_array(3, cells + 1, cells + 1) - 0.5
    index = np.minimum((PIXEL_CENTERS * cells).astype(np.int64), cells - 1)
    part = PIXEL_CENTERS * cells - index
    smooth = part * part * (3 - 2 * part)
    rows = lattice[:, index] + (lattice[:, index + 1] - lattice[:, index]) * smooth[:, None]
    return rows[:, :, index] + (rows[:, :, index + 1] - rows[:, :, index]) * smooth


def draw_clutter(canvas: Canvas, rng: PortableRNG, *, count: int, size: tuple[float, float]) -> None:
    """Draw clutter of random kinds, positions and turns."""
    for _ in range(count):
        canvas.frame = Frame(
            at=(rng.uniform(0.0, SIDE), rng.uniform(0.0, SIDE)),
            scale=rng.uniform(*size),
            turn=rng.uniform(-1.0, 1.0),
        )
        rng.choice(CLUTTER)(canvas, rng)


def apply_light(pixels: Floats, rng: PortableRNG, *, tint: float) -> Floats:
    """Light an image from one side, sometimes with a shadow across, in a color about `tint` (warm over 0)."""
    warm, green = tint + rng.uniform(-0.18, 0.18), rng.uniform(-0.08, 0.08)
    color = np.array((1 + warm, 1 + green, 1 - warm))[:, None, None]
    across, down = rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4)
    fall = 1 + across * (PIXEL_CENTERS - 0.5) + down * (PIXEL_CENTERS[:, None] - 0.5)
    if rng.bernoulli(0.15):
        slope, edge = rng.uniform(-1.0, 1.0), rng.uniform(0.2, 0.8)
        is_dark = PIXEL_CENTERS + slope * (PIXEL_CENTERS[:, None] - 0.5) < edge
        fall = np.where(is_dark, fall * rng.uniform(0.55, 0.85), fall)
    return pixels * (color * (fall * rng.uniform(0.85, 1.25)))
