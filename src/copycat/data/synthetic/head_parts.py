"""Draw what animals and people share: bodies, and parts of a head, which is a circle of radius 1 about the origin."""

from dataclasses import dataclass

from copycat.data.synthetic.portable_rng import Color, PortableRNG, scale_brightness
from copycat.data.synthetic.raster import Canvas

SIDES = (-1.0, 1.0)
INK: Color = (0.06, 0.05, 0.05)
WHITE: Color = (0.95, 0.94, 0.92)
PINK: Color = (0.85, 0.55, 0.55)
COATS: tuple[Color, ...] = (
    (0.85, 0.52, 0.22),  # ginger
    (0.55, 0.36, 0.20),  # brown
    (0.50, 0.50, 0.53),  # gray
    (0.16, 0.15, 0.16),  # black
    (0.90, 0.87, 0.82),  # white
    (0.80, 0.68, 0.50),  # fawn
    (0.38, 0.30, 0.28),  # sable
)


@dataclass(frozen=True, kw_only=True)
class Head:
    """Hold a head's coat, its proportions, and how far the face looks aside."""

    fur: Color
    wide: float
    high: float
    aside: float

    @classmethod
    def random(cls, rng: PortableRNG) -> "Head":
        """Draw a head's properties at random."""
        return cls(
            fur=rng.jitter(rng.choice(COATS), spread=0.07),
            wide=rng.uniform(0.9, 1.15),
            high=rng.uniform(0.85, 1.0),
            aside=rng.uniform(-0.14, 0.14),
        )


def draw_body(canvas: Canvas, rng: PortableRNG, fur: Color) -> None:
    """Draw no body, one that sits below the head, or one that lies beside it."""
    coat = scale_brightness(fur, rng.uniform(0.75, 1.1))
    pose = rng.randbelow(3)
    if pose == 1:
        canvas.ellipse((rng.uniform(-0.3, 0.3), 2.0), (rng.uniform(0.8, 1.2), 1.4), coat)
    elif pose == 2:
        canvas.ellipse((1.5, 0.9), (1.9, rng.uniform(0.7, 0.95)), coat, turn=rng.uniform(-0.1, 0.15))


def draw_tail(canvas: Canvas, rng: PortableRNG, fur: Color) -> None:
    """Draw a tail of four strokes."""
    x, y = rng.uniform(1.1, 1.6), 1.9
    for _ in range(4):
        end = (x + rng.uniform(-0.1, 0.45), y - rng.uniform(0.3, 0.7))
        canvas.line((x, y), end, 0.3, fur)
        x, y = end


def draw_skull(canvas: Canvas, head: Head) -> None:
    """Draw the head's outline, filled with its coat."""
    canvas.ellipse((0.0, 0.0), (head.wide, head.high), head.fur)


def random_inner_ear_color(rng: PortableRNG, head: Head) -> Color:
    """Return a color for the inside of ears."""
    return PINK if rng.bernoulli(0.5) else scale_brightness(head.fur, rng.uniform(0.55, 0.8))


def draw_pointed_ears(canvas: Canvas, rng: PortableRNG, head: Head, *, length: float) -> None:
    """Draw two pointed ears of a length relative to the head's height."""
    lean, inner = rng.uniform(-0.2, 0.25), random_inner_ear_color(rng, head)
    for side in SIDES:
        near, far = (side * 0.18 * head.wide, -0.9 * head.high), (side * 0.97 * head.wide, -0.2 * head.high)
        tip = (side * (0.75 * head.wide + lean) + head.aside * 0.3, -(0.65 + length) * head.high)
        canvas.polygon([near, far, tip], head.fur)
        middle = ((near[0] + far[0] + tip[0]) / 3, (near[1] + far[1] + tip[1]) / 3)
        corners = [(0.6 * x + 0.4 * middle[0], 0.6 * y + 0.4 * middle[1]) for x, y in (near, far, tip)]
        canvas.polygon(corners, inner)


def draw_stripes(canvas: Canvas, head: Head) -> None:
    """Draw a tabby's stripes on forehead and cheeks."""
    dark = scale_brightness(head.fur, 0.5)
    for place in (-0.25, 0.0, 0.25):
        canvas.line((place + head.aside * 0.5, -0.92 * head.high), (place * 0.8 + head.aside, -0.5), 0.1, dark)
    for side in SIDES:
        canvas.line((side * 0.95 * head.wide, 0.15), (side * 0.62, 0.22), 0.09, dark)


def draw_patch(canvas: Canvas, rng: PortableRNG, head: Head) -> None:
    """Draw a patch of another coat about one eye."""
    at = (rng.choice(SIDES) * 0.4 * head.wide, -0.25 * head.high)
    canvas.ellipse(at, (0.4 * head.wide, 0.45 * head.high), rng.choice(COATS), turn=rng.uniform(-0.3, 0.3))


def draw_slit_eyes(canvas: Canvas, rng: PortableRNG, head: Head) -> None:
    """Draw two eyes with slit pupils or, rarely, closed ones."""
    iris = rng.color(saturation=(0.3, 0.8), value=(0.9, 1.0))
    opened, slit, slant = rng.uniform(0.28, 0.34), rng.uniform(0.08, 0.12), rng.uniform(0.0, 0.15)
    asleep = rng.bernoulli(0.04)
    for side in SIDES:
        x, y = side * 0.42 * head.wide + head.aside, -0.1
        if asleep:
            canvas.line((x - 0.2, y), (x + 0.2, y + side * 0.08), 0.08, INK)
            continue
        canvas.ellipse((x, y), (0.34, opened), iris, turn=side * slant)
        canvas.ellipse((x, y), (slit, opened), INK)


def draw_round_eyes(canvas: Canvas, rng: PortableRNG, head: Head, *, size: float) -> None:
    """Draw two dark eyes, sometimes with a colored ring about the pupil."""
    ring = rng.color(saturation=(0.2, 0.9), value=(0.6, 0.95)) if rng.bernoulli(0.25) else None
    for side in SIDES:
        at = (side * 0.4 * head.wide + head.aside, -0.12)
        if ring is not None:
            canvas.ellipse(at, (size * 1.6, size * 1.4), ring)
        canvas.ellipse(at, (size, size), INK)
        canvas.ellipse((at[0] + 0.05, at[1] - 0.05), (size * 0.35, size * 0.35), WHITE)


def draw_nose(canvas: Canvas, head: Head, color: Color, *, size: float) -> None:
    """Draw a triangular nose, with a line below."""
    x, y = head.aside, 0.28
    canvas.polygon([(x - size, y - size * 0.6), (x + size, y - size * 0.6), (x, y + size)], color)
    canvas.line((x, y), (x, y + 0.25), 0.05, INK)


def draw_whiskers(canvas: Canvas, rng: PortableRNG, head: Head, *, length: float) -> None:
    """Draw three whiskers on each side."""
    color = rng.choice((WHITE, INK))
    for side in SIDES:
        x = head.aside + side * 0.3
        for droop in (-0.16, 0.0, 0.16):
            canvas.line((x, 0.42 + droop * 0.5), (x + side * length, 0.4 + droop * 2), 0.06, color)
