"""Draw cats, and the animals and people that a network must tell from cats.

All share coats, bodies and a turn of the face, and some have a cat's ears or whiskers: only ears, eyes and whiskers
together make a cat.
"""

from copycat.data.synthetic.head_parts import (
    COATS,
    INK,
    PINK,
    SIDES,
    WHITE,
    Head,
    body,
    inner_ear,
    nose,
    patch,
    pointed_ears,
    round_eyes,
    skull,
    slit_eyes,
    stripes,
    tail,
    whiskers,
)
from copycat.data.synthetic.portable_rng import Chance, Colour, darker
from copycat.data.synthetic.raster import Canvas


def cat(canvas: Canvas, chance: Chance) -> None:
    """Draw a cat: pointed ears, slit eyes and whiskers."""
    head = Head.by(chance)
    body(canvas, chance, head.fur)
    if chance.happens(0.3):
        tail(canvas, chance, head.fur)
    pointed_ears(canvas, chance, head, length=chance.between(0.55, 0.9))
    skull(canvas, head)
    if chance.happens(0.5):
        stripes(canvas, head)
    if chance.happens(0.2):
        patch(canvas, chance, head)
    muzzle = chance.near(WHITE, spread=0.05) if chance.happens(0.4) else darker(head.fur, 1.15)
    for side in SIDES:
        canvas.ellipse((head.aside + side * 0.17, 0.45), (0.26, 0.22), muzzle)
    slit_eyes(canvas, chance, head)
    nose(canvas, head, chance.pick((PINK, INK)), size=0.11)
    whiskers(canvas, chance, head, length=chance.between(0.8, 1.05))


def dog(canvas: Canvas, chance: Chance) -> None:
    """Draw a dog, with hanging or, rarely, pointed ears and a long muzzle."""
    head = Head.by(chance)
    body(canvas, chance, head.fur)
    ear = darker(head.fur, chance.between(0.5, 0.9))
    pointed = chance.happens(0.2)
    if pointed:
        pointed_ears(canvas, chance, head, length=chance.between(0.55, 0.9))
    skull(canvas, head)
    if chance.happens(0.4):
        patch(canvas, chance, head)
    if not pointed:
        for side in SIDES:
            canvas.ellipse((side * head.wide, -0.1), (0.3, chance.between(0.55, 0.85)), ear, turn=-side * 0.12)
    canvas.ellipse((head.aside, 0.5), (0.42, 0.5), darker(head.fur, 1.3))
    if chance.happens(0.4):
        canvas.ellipse((head.aside, 0.95), (0.14, 0.24), PINK)
    round_eyes(canvas, chance, head, size=0.13)
    nose(canvas, head, INK, size=0.18)


def fox(canvas: Canvas, chance: Chance) -> None:
    """Draw a fox, with pointed ears and snout."""
    head = Head.by(chance)
    body(canvas, chance, head.fur)
    if chance.happens(0.5):
        tail(canvas, chance, head.fur)
    pointed_ears(canvas, chance, head, length=chance.between(0.6, 1.0))
    snout = (head.aside, 1.25 * head.high)
    canvas.ellipse((0.0, -0.15), (head.wide, 0.7 * head.high), head.fur)
    canvas.polygon([(-head.wide, -0.1), (head.wide, -0.1), snout], head.fur)
    for side in SIDES:
        canvas.polygon([(side * head.wide, 0.0), (side * 0.3 + head.aside, 0.25), snout], WHITE)
    round_eyes(canvas, chance, head, size=0.12)
    canvas.ellipse(snout, (0.13, 0.12), INK)


def bear(canvas: Canvas, chance: Chance) -> None:
    """Draw a bear or, with larger ears and sometimes whiskers, a mouse."""
    head = Head.by(chance)
    mouse = chance.happens(0.5)
    body(canvas, chance, head.fur)
    size = chance.between(0.5, 0.7) if mouse else chance.between(0.3, 0.42)
    for side in SIDES:
        canvas.ellipse((side * 0.75 * head.wide, -0.8 * head.high), (size, size), head.fur)
        canvas.ellipse((side * 0.75 * head.wide, -0.8 * head.high), (size * 0.6, size * 0.6), inner_ear(chance, head))
    skull(canvas, head)
    canvas.ellipse((head.aside, 0.42), (0.4, 0.32), darker(head.fur, 1.3))
    round_eyes(canvas, chance, head, size=0.12)
    nose(canvas, head, INK, size=0.15)
    if mouse and chance.happens(0.3):
        whiskers(canvas, chance, head, length=0.7)


def rabbit(canvas: Canvas, chance: Chance) -> None:
    """Draw a rabbit, with long ears and sometimes whiskers."""
    head = Head.by(chance)
    body(canvas, chance, head.fur)
    inner = inner_ear(chance, head)
    for side in SIDES:
        lean = side * chance.between(0.02, 0.25)
        at = (side * 0.4 + lean, -1.4 * head.high)
        canvas.ellipse(at, (0.24, 0.85), head.fur, turn=lean)
        canvas.ellipse(at, (0.12, 0.65), inner, turn=lean)
    skull(canvas, head)
    canvas.ellipse((head.aside, 0.45), (0.35, 0.25), darker(head.fur, 1.2))
    round_eyes(canvas, chance, head, size=0.15)
    nose(canvas, head, PINK, size=0.1)
    if chance.happens(0.3):
        whiskers(canvas, chance, head, length=0.7)


def owl(canvas: Canvas, chance: Chance) -> None:
    """Draw an owl, with large ringed eyes and sometimes pointed ears."""
    head = Head.by(chance)
    canvas.ellipse((0.0, 1.3), (1.15, 1.5), darker(head.fur, 0.8))
    canvas.ellipse((0.0, 1.5), (0.7, 1.1), darker(head.fur, 1.25))
    if chance.happens(0.4):
        pointed_ears(canvas, chance, head, length=chance.between(0.3, 0.6))
    skull(canvas, head)
    iris = chance.hue(saturation=(0.5, 0.9), value=(0.6, 0.95))
    for side in SIDES:
        at = (side * 0.42 + head.aside, -0.08)
        canvas.ellipse(at, (0.42, 0.42), darker(head.fur, 1.35))
        canvas.ellipse(at, (0.3, 0.3), iris)
        canvas.ellipse(at, (0.15, 0.15), INK)
    canvas.polygon([(head.aside - 0.14, 0.2), (head.aside + 0.14, 0.2), (head.aside, 0.6)], (0.85, 0.6, 0.2))


def person(canvas: Canvas, chance: Chance) -> None:
    """Draw a person, with hair and sometimes a pointed hat."""
    skin: Colour = chance.near(chance.pick(((0.9, 0.72, 0.6), (0.7, 0.5, 0.36), (0.42, 0.28, 0.2))), spread=0.06)
    head = Head(fur=skin, wide=chance.between(0.7, 0.9), high=1.0, aside=chance.between(-0.25, 0.25))
    canvas.ellipse((0.0, 2.1), (1.4, 1.2), chance.hue(saturation=(0.2, 0.8), value=(0.2, 0.9)))
    hair = chance.near(chance.pick(COATS), spread=0.08)
    canvas.ellipse((0.0, -0.25), (head.wide * 1.15, 1.0), hair)
    canvas.ellipse((0.0, 0.12), (head.wide, 0.92), skin)
    if chance.happens(0.2):
        canvas.polygon([(-0.9, -0.5), (0.9, -0.5), (chance.between(-0.3, 0.3), -1.6)], hair)  # a pointed hat
    round_eyes(canvas, chance, head, size=0.1)
    canvas.stroke((head.aside, 0.1), (head.aside + 0.06, 0.3), 0.08, darker(skin, 0.7))
    canvas.stroke((head.aside - 0.25, 0.58), (head.aside + 0.25, 0.58), 0.09, (0.6, 0.25, 0.25))
