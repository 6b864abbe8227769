"""Measures of images, against SciPy, and as files of any format have them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import laplace
from scipy.stats import entropy

from copycat.data.image_measures import HASH_WAVES, _cosine_transform, laplacian, measure_image


def make_image(width: int = 64, height: int = 64, *, seed: int = 0) -> Image.Image:
    """Smooth noise, which photographs resemble more than noise does."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_measures_are_those_of_scipy() -> None:
    image = make_image()
    gray = np.asarray(image.convert("L"), dtype=np.float64)
    width, height, bits, deviation, sharpness, *_ = measure_image(image)
    assert (width, height) == (64, 64)
    counts = np.unique(gray, return_counts=True)[1]
    assert bits == pytest.approx(entropy(counts, base=2))
    assert deviation == pytest.approx(gray.std())
    assert sharpness == pytest.approx(laplace(gray)[1:-1, 1:-1].var())


def test_the_hash_is_of_the_lowest_frequencies_of_the_cosine_transform() -> None:
    gray = make_image().convert("L")
    expected = dctn(np.asarray(gray, dtype=np.float64), type=2)[:HASH_WAVES, :HASH_WAVES] / 4
    np.testing.assert_allclose(_cosine_transform(gray), expected, atol=1e-6)


def test_the_mirrored_hash_is_that_of_the_mirrored_image() -> None:
    image = make_image()
    *_, hashed, mirrored = measure_image(image)
    *_, of_mirrored, of_twice_mirrored = measure_image(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert (mirrored == of_mirrored).all()
    assert (hashed == of_twice_mirrored).all()
    assert (hashed != mirrored).any()


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_the_size_is_that_of_the_upright_file_and_not_of_what_a_jpeg_is_decoded_to(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    make_image(3000, 1500).save(tmp_path / name, exif=exif)
    with Image.open(tmp_path / name) as image:
        assert measure_image(image)[:2] == (1500, 3000)


def test_images_without_a_pixel_inside_have_no_sharpness() -> None:
    assert np.isnan(laplacian(np.zeros((2, 9))))
    assert np.isnan(measure_image(make_image(9, 2))[4])
