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
    draw_body,
    draw_nose,
    draw_patch,
    draw_pointed_ears,
    draw_round_eyes,
    draw_skull,
    draw_slit_eyes,
    draw_stripes,
    draw_tail,
    draw_whiskers,
    random_inner_ear_color,
)
from copycat.data.synthetic.portable_rng import Color, PortableRNG, scale_brightness
from copycat.data.synthetic.raster import Canvas


def draw_cat(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a cat: pointed ears, slit eyes and whiskers."""
    head = Head.random(rng)
    draw_body(canvas, rng, head.fur)
    if rng.bernoulli(0.3):
        draw_tail(canvas, rng, head.fur)
    draw_pointed_ears(canvas, rng, head, length=rng.uniform(0.55, 0.9))
    draw_skull(canvas, head)
    if rng.bernoulli(0.5):
        draw_stripes(canvas, head)
    if rng.bernoulli(0.2):
        draw_patch(canvas, rng, head)
    muzzle = rng.jitter(WHITE, spread=0.05) if rng.bernoulli(0.4) else scale_brightness(head.fur, 1.15)
    for side in SIDES:
        canvas.ellipse((head.aside + side * 0.17, 0.45), (0.26, 0.22), muzzle)
    draw_slit_eyes(canvas, rng, head)
    draw_nose(canvas, head, rng.choice((PINK, INK)), size=0.11)
    draw_whiskers(canvas, rng, head, length=rng.uniform(0.8, 1.05))


def draw_dog(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a dog, with hanging or, rarely, pointed ears and a long muzzle."""
    head = Head.random(rng)
    draw_body(canvas, rng, head.fur)
    ear = scale_brightness(head.fur, rng.uniform(0.5, 0.9))
    pointed = rng.bernoulli(0.2)
    if pointed:
        draw_pointed_ears(canvas, rng, head, length=rng.uniform(0.55, 0.9))
    draw_skull(canvas, head)
    if rng.bernoulli(0.4):
        draw_patch(canvas, rng, head)
    if not pointed:
        for side in SIDES:
            canvas.ellipse((side * head.wide, -0.1), (0.3, rng.uniform(0.55, 0.85)), ear, turn=-side * 0.12)
    canvas.ellipse((head.aside, 0.5), (0.42, 0.5), scale_brightness(head.fur, 1.3))
    if rng.bernoulli(0.4):
        canvas.ellipse((head.aside, 0.95), (0.14, 0.24), PINK)
    draw_round_eyes(canvas, rng, head, size=0.13)
    draw_nose(canvas, head, INK, size=0.18)


def draw_fox(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a fox, with pointed ears and snout."""
    head = Head.random(rng)
    draw_body(canvas, rng, head.fur)
    if rng.bernoulli(0.5):
        draw_tail(canvas, rng, head.fur)
    draw_pointed_ears(canvas, rng, head, length=rng.uniform(0.6, 1.0))
    snout = (head.aside, 1.25 * head.high)
    canvas.ellipse((0.0, -0.15), (head.wide, 0.7 * head.high), head.fur)
    canvas.polygon([(-head.wide, -0.1), (head.wide, -0.1), snout], head.fur)
    for side in SIDES:
        canvas.polygon([(side * head.wide, 0.0), (side * 0.3 + head.aside, 0.25), snout], WHITE)
    draw_round_eyes(canvas, rng, head, size=0.12)
    canvas.ellipse(snout, (0.13, 0.12), INK)


def draw_bear(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a bear or, with larger ears and sometimes whiskers, a mouse."""
    head = Head.random(rng)
    mouse = rng.bernoulli(0.5)
    draw_body(canvas, rng, head.fur)
    size = rng.uniform(0.5, 0.7) if mouse else rng.uniform(0.3, 0.42)
    for side in SIDES:
        canvas.ellipse((side * 0.75 * head.wide, -0.8 * head.high), (size, size), head.fur)
        canvas.ellipse(
            (side * 0.75 * head.wide, -0.8 * head.high), (size * 0.6, size * 0.6), random_inner_ear_color(rng, head)
        )
    draw_skull(canvas, head)
    canvas.ellipse((head.aside, 0.42), (0.4, 0.32), scale_brightness(head.fur, 1.3))
    draw_round_eyes(canvas, rng, head, size=0.12)
    draw_nose(canvas, head, INK, size=0.15)
    if mouse and rng.bernoulli(0.3):
        draw_whiskers(canvas, rng, head, length=0.7)


def draw_rabbit(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a rabbit, with long ears and sometimes whiskers."""
    head = Head.random(rng)
    draw_body(canvas, rng, head.fur)
    inner = random_inner_ear_color(rng, head)
    for side in SIDES:
        lean = side * rng.uniform(0.02, 0.25)
        at = (side * 0.4 + lean, -1.4 * head.high)
        canvas.ellipse(at, (0.24, 0.85), head.fur, turn=lean)
        canvas.ellipse(at, (0.12, 0.65), inner, turn=lean)
    draw_skull(canvas, head)
    canvas.ellipse((head.aside, 0.45), (0.35, 0.25), scale_brightness(head.fur, 1.2))
    draw_round_eyes(canvas, rng, head, size=0.15)
    draw_nose(canvas, head, PINK, size=0.1)
    if rng.bernoulli(0.3):
        draw_whiskers(canvas, rng, head, length=0.7)


def draw_owl(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw an owl, with large ringed eyes and sometimes pointed ears."""
    head = Head.random(rng)
    canvas.ellipse((0.0, 1.3), (1.15, 1.5), scale_brightness(head.fur, 0.8))
    canvas.ellipse((0.0, 1.5), (0.7, 1.1), scale_brightness(head.fur, 1.25))
    if rng.bernoulli(0.4):
        draw_pointed_ears(canvas, rng, head, length=rng.uniform(0.3, 0.6))
    draw_skull(canvas, head)
    iris = rng.color(saturation=(0.5, 0.9), value=(0.6, 0.95))
    for side in SIDES:
        at = (side * 0.42 + head.aside, -0.08)
        canvas.ellipse(at, (0.42, 0.42), scale_brightness(head.fur, 1.35))
        canvas.ellipse(at, (0.3, 0.3), iris)
        canvas.ellipse(at, (0.15, 0.15), INK)
    canvas.polygon([(head.aside - 0.14, 0.2), (head.aside + 0.14, 0.2), (head.aside, 0.6)], (0.85, 0.6, 0.2))


def draw_person(canvas: Canvas, rng: PortableRNG) -> None:
    """Draw a person, with hair and sometimes a pointed hat."""
    skin: Color = rng.jitter(rng.choice(((0.9, 0.72, 0.6), (0.7, 0.5, 0.36), (0.42, 0.28, 0.2))), spread=0.06)
    head = Head(fur=skin, wide=rng.uniform(0.7, 0.9), high=1.0, aside=rng.uniform(-0.25, 0.25))
    canvas.ellipse((0.0, 2.1), (1.4, 1.2), rng.color(saturation=(0.2, 0.8), value=(0.2, 0.9)))
    hair = rng.jitter(rng.choice(COATS), spread=0.08)
    canvas.ellipse((0.0, -0.25), (head.wide * 1.15, 1.0), hair)
    canvas.ellipse((0.0, 0.12), (head.wide, 0.92), skin)
    if rng.bernoulli(0.2):
        canvas.polygon([(-0.9, -0.5), (0.9, -0.5), (rng.uniform(-0.3, 0.3), -1.6)], hair)  # a pointed hat
    draw_round_eyes(canvas, rng, head, size=0.1)
    canvas.line((head.aside, 0.1), (head.aside + 0.06, 0.3), 0.08, scale_brightness(skin, 0.7))
    canvas.line((head.aside - 0.25, 0.58), (head.aside + 0.25, 0.58), 0.09, (0.6, 0.25, 0.25))
