"""Images of the folders that benchmarks/best.py searches: real ones, those that packages ship, and drawn ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from copycat.data.synthetic import animals, objects
from copycat.data.synthetic.portable_rng import PortableRNG
from copycat.data.synthetic.raster import SIDE, Canvas, Frame
from copycat.data.synthetic.render import apply_light, draw_background, draw_clutter, draw_image

Pixels = NDArray[np.uint8]
"""Of an image: [rows, columns] or [rows, columns, 3]."""
LabeledImages = tuple[Sequence[Pixels], Sequence[int]]
CAT_SHARE = 72 / 209
"""Of the real training images."""
POINTS = {0: 0, 1: 3, 2: 4, 3: 5, 4: 6}
"""Corners of the shape of each class; 0: a disc."""


@dataclass(frozen=True)
class ImageSet:
    """Hold how the images of a benchmark's folder are made."""

    name: str
    images: int
    """For `copycat best`; the rest is untouched."""
    make: Callable[..., LabeledImages]
    """Draws this many images with a seed; without `untouched`, reads all images that there are."""
    untouched: int | None = 1000
    """Images to draw beyond those for `copycat best`; None: the rest of those that are read."""
    number: int = 0
    """Added to the seed, so that no two sets have the same."""

    def write(self, to: Path, *, seed: int) -> tuple[int, int, int]:
        """Write to/best and to/untouched, one sub-folder per class; return their images and the number of classes.

        The classes have the same shares in both.
        """
        wanted = () if self.untouched is None else (self.images + self.untouched, seed)
        images, labels = self.make(*wanted)
        order = np.random.default_rng(seed).permutation(len(images))
        counts = np.bincount(labels)
        quota = np.round(counts * self.images / len(images)).astype(int)
        used = np.zeros_like(quota)
        for place in order:
            label = labels[place]
            part = "best" if used[label] < quota[label] else "untouched"
            used[label] += part == "best"
            folder = to / part / f"class {label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[place]).save(folder / f"{place:05}.png")
        return int(quota.sum()), int(len(images) - quota.sum()), len(counts)


def read_cats() -> LabeledImages:
    """Return the real photographs, which COPYCAT_DATA has, each once."""
    from copycat.data.pool import join_parts
    from copycat.data.sources.cats import Cats

    images = join_parts(Cats().load()).images
    first = {digest: place for place, digest in reversed(list(enumerate(images.digests)))}
    places = sorted(first.values())
    return [images.images[place].permute(1, 2, 0).numpy() for place in places], images.labels[places].tolist()


def read_digits(*, classes: Sequence[int] = range(10)) -> LabeledImages:
    """Return scikit-learn's 1,797 handwritten digits of 8 × 8 pixels, or those of some classes."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    places = np.flatnonzero(np.isin(digits.target, classes))
    return [to_bytes(digits.images[one] * (255 / 16)) for one in places], [
        classes.index(digits.target[one]) for one in places
    ]


def read_photo_patches(*, side: int) -> LabeledImages:
    """Return squares of three photographs that scikit-learn and matplotlib ship, without overlap; a class of each."""
    import matplotlib
    from sklearn.datasets import load_sample_images

    portrait = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    patches, labels = list[Pixels](), list[int]()
    for label, photo in enumerate([*load_sample_images().images, np.asarray(Image.open(portrait).convert("RGB"))]):
        rows, columns = (length // side * side for length in photo.shape[:2])
        for top, left in np.ndindex(rows // side, columns // side):
            patches.append(photo[top * side : (top + 1) * side, left * side : (left + 1) * side])
            labels.append(label)
    return patches, labels


def draw_glyphs(count: int, seed: int, *, letters: str, noise: float) -> LabeledImages:
    """Draw letters in the fonts that matplotlib ships, at random sizes, turns and places."""
    import matplotlib

    files = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf"))
    fonts = [file for file in files if file.name.startswith(("DejaVu", "STIXGeneral")) and "Display" not in file.name]

    def draw(rng: np.random.Generator, label: int) -> Pixels:
        font = ImageFont.truetype(fonts[rng.integers(len(fonts))], int(rng.integers(16, 30)))
        paper = Image.new("L", (32, 32), int(rng.integers(0, 100)))
        place = tuple(16 + rng.uniform(-3, 3, 2))
        ImageDraw.Draw(paper).text(place, letters[label], int(rng.integers(130, 256)), font, anchor="mm")
        return add_noise(np.asarray(paper.rotate(rng.uniform(-20, 20))), rng, noise)

    return _draw(count, seed, len(letters), draw)


def draw_shapes(count: int, seed: int, *, classes: int, noise: float, wrong: float = 0.0) -> LabeledImages:
    """Draw a disc or a polygon of random color, size and turn on another color; a share of the labels is wrong."""

    def draw(rng: np.random.Generator, label: int) -> Pixels:
        label = int(rng.integers(classes)) if rng.random() < wrong * classes / (classes - 1) else label
        colors = [tuple(int(one) for one in rng.integers(0, 256, 3)) for _ in range(2)]
        paper, pen_at = Image.new("RGB", (48, 48), colors[0]), rng.uniform(20, 28, 2)
        radius, turn = rng.uniform(10, 18), rng.uniform(0, 2 * np.pi)
        angles = turn + np.arange(POINTS[label] or 90) * 2 * np.pi / (POINTS[label] or 90)
        corners = [(pen_at[0] + radius * np.cos(one), pen_at[1] + radius * np.sin(one)) for one in angles]
        ImageDraw.Draw(paper).polygon(corners, colors[1])
        return add_noise(np.asarray(paper), rng, noise)

    return _draw(count, seed, classes, draw)


def draw_gratings(count: int, seed: int, *, classes: int, noise: float) -> LabeledImages:
    """Draw stripes of random width and phase under noise; the class is their direction, up to half a step of it."""
    rows, columns = np.mgrid[:48, :48]

    def draw(rng: np.random.Generator, label: int) -> Pixels:
        angle = (label + rng.uniform(-0.5, 0.5)) * np.pi / classes
        along = columns * np.cos(angle) + rows * np.sin(angle)
        return add_noise(128 + 60 * np.sin(along * rng.uniform(0.4, 1.2) + rng.uniform(0, 2 * np.pi)), rng, noise)

    return _draw(count, seed, classes, draw)


def draw_coins(count: int, seed: int) -> LabeledImages:
    """Draw noise of two classes that nothing tells apart."""
    return _draw(count, seed, 2, lambda rng, _: add_noise(np.full((32, 32, 3), 128.0), rng, 50))


def to_bytes(image: NDArray[Any]) -> Pixels:
    """Return gray levels as bytes."""
    return np.asarray(image).clip(0, 255).astype(np.uint8)


def add_noise(image: NDArray[Any], rng: np.random.Generator, deviation: float) -> Pixels:
    """Return the image with normal noise of this deviation in gray levels."""
    return to_bytes(image + rng.normal(0, deviation, image.shape))


def _draw(count: int, seed: int, classes: int, draw: Callable[[np.random.Generator, int], Pixels]) -> LabeledImages:
    """Draw images of equally frequent classes."""
    labels = [place % classes for place in range(count)]
    return [draw(np.random.default_rng([seed, place]), label) for place, label in enumerate(labels)], labels


def draw_cats(count: int, seed: int, *, warmth: float) -> LabeledImages:
    """Draw Copycat's cats and others, with the cats' share of the real set."""
    labels = [int(int((place + 1) * CAT_SHARE) > int(place * CAT_SHARE)) for place in range(count)]
    return [
        draw_image(PortableRNG("best", seed, place), is_cat=bool(label), warmth=warmth).transpose(1, 2, 0)
        for place, label in enumerate(labels)
    ], labels


def draw_species(count: int, seed: int, *, classes: int) -> LabeledImages:
    """Draw Copycat's animals and objects, each a class."""
    subjects: list[objects.Subject] = [
        animals.draw_cat,
        animals.draw_dog,
        animals.draw_fox,
        animals.draw_bear,
        animals.draw_rabbit,
    ]
    subjects += [animals.draw_owl, animals.draw_person, *objects.OBJECTS]
    labels = [place % classes for place in range(count)]

    def draw(rng: PortableRNG, subject: objects.Subject) -> Pixels:
        canvas = Canvas(draw_background(rng))
        draw_clutter(canvas, rng, count=2 + rng.randbelow(3), size=(3.0, 9.0))
        at, scale, turn = (rng.uniform(26, 38), rng.uniform(26, 36)), rng.uniform(12, 19), rng.uniform(-0.12, 0.12)
        canvas.frame = Frame(at=at, scale=scale, turn=turn, mirrored=rng.bernoulli(0.5))
        subject(canvas, rng)
        lit = apply_light(canvas.pixels(), rng, tint=0.0) + rng.normal_array(3, SIDE, SIDE) * rng.uniform(0.01, 0.08)
        return to_bytes(lit * 255).transpose(1, 2, 0)

    return [draw(PortableRNG("species", seed, place), subjects[label]) for place, label in enumerate(labels)], labels


def list_sets() -> list[ImageSet]:
    """Return the folders of the benchmark."""
    sets = [
        *(ImageSet(f"cats-{number}", 130, read_cats, None) for number in (1, 2, 3)),
        *(ImageSet(f"digits-{images}", images, read_digits, None) for images in (60, 300, 900)),
        ImageSet("digits-3-5-8-100", 100, partial(read_digits, classes=[3, 5, 8]), None),
        ImageSet("photos-150", 150, partial(read_photo_patches, side=16), None),
        ImageSet("warm-cats-100", 100, partial(draw_cats, warmth=1.0)),
        ImageSet("drawn-cats-209", 209, partial(draw_cats, warmth=0.35)),
        ImageSet("gray-cats-500", 500, partial(draw_cats, warmth=0.0)),
        ImageSet("drawn-cats-2000", 2000, partial(draw_cats, warmth=0.35)),
        ImageSet("species-3-240", 240, partial(draw_species, classes=3)),
        ImageSet("species-10-1000", 1000, partial(draw_species, classes=10)),
        ImageSet("shapes-4-80", 80, partial(draw_shapes, classes=4, noise=10)),
        ImageSet("wrong-shapes-5-600", 600, partial(draw_shapes, classes=5, noise=40, wrong=0.1)),
        ImageSet("gratings-6-120", 120, partial(draw_gratings, classes=6, noise=60)),
        ImageSet("gratings-9-500", 500, partial(draw_gratings, classes=9, noise=100)),
        ImageSet("letters-10-400", 400, partial(draw_glyphs, letters="ABCDEFGHIJ", noise=20)),
        ImageSet("coins-100", 100, draw_coins),
    ]
    return [replace(one, number=number) for number, one in enumerate(sets)]
