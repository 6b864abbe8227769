"""Images of every mode, format and orientation, resized to squares."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from copycat.data.decode import decode, image_extensions, is_image, read_image, to_square_pixels, to_upright_rgb
from tests.support.images import get_color, save_image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
SavePicture = Callable[..., Path]


def test_a_picture_of_the_right_size_keeps_every_pixel(save_picture: SavePicture) -> None:
    path = save_picture("a.png", seed=3, size=(16, 16))
    expected = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = decode(path, size=16)
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert np.array_equal(image.numpy(), expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "name", ["a.png", "a.bmp", "a.gif", "a.webp", "a.tif", "a.ppm", "a.tga", "a.jp2", "a.qoi", "a.ico"]
)
def test_formats_without_loss_give_the_color_that_was_saved(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    path = save_image(tmp_path, Image.new("RGB", (16, 16), (250, 100, 7)), name, **options)
    assert get_color(decode(path, size=16)) == (250, 100, 7)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.avif"])
def test_formats_with_loss_come_within_a_few_steps_of_the_color(tmp_path: Path, name: str) -> None:
    path = save_image(tmp_path, Image.new("RGB", (64, 64), (250, 100, 7)), name)
    assert get_color(decode(path, size=16)) == pytest.approx((250, 100, 7), abs=4)


# ----- modes


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, WHITE),
        ("1", 0, BLACK),
        ("L", 77, (77, 77, 77)),
        ("LA", (40, 255), (40, 40, 40)),
        ("LA", (40, 0), WHITE),
        ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
        ("RGBA", (200, 0, 0, 0), WHITE),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # a fifth of black over white
        ("I;16", 0, BLACK),
        ("I;16", 65535, WHITE),
        ("I;16", 25700, (100, 100, 100)),  # 100 * 257
    ],
)
def test_modes_of_a_png_become_rgb_on_white(
    tmp_path: Path, mode: str, value: int | tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    path = save_image(tmp_path, Image.new(mode, (9, 9), value), "a.png")
    assert get_color(decode(path, size=9), 4, 4) == expected


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I;16B", [0, 257 * 7, 65535], [0, 7, 255]),
        ("I", [-5, 257 * 7, 65535], [0, 7, 255]),
        ("I", [0, 100_000, 200_000], [0, 128, 255]),
        ("F", [0.0, 0.2, 1.0], [0, 51, 255]),
        ("F", [0.0, 51.0, 200.0], [0, 51, 200]),
        ("F", [0.0, 257.0 * 7, 65535.0], [0, 7, 255]),
        ("F", [float("nan"), -1.0, 1e6], [0, 0, 255]),
        ("F", [0.0, 0.0, 0.0], [0, 0, 0]),
    ],
)
def test_deep_gray_of_a_tiff_is_scaled_by_its_white(
    tmp_path: Path, mode: str, values: list[float], expected: list[int]
) -> None:
    kind = {"I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
    row = np.array(values, dtype=kind)
    gray = Image.frombytes(mode, (3, 3), np.tile(row, (3, 1)).tobytes())
    image = decode(save_image(tmp_path, gray, "a.tif"), size=3)
    assert image[0, 1].tolist() == expected
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


@pytest.mark.parametrize(("mode", "kind"), [("L", "u1"), ("I;16", "<u2"), ("F", "<f4")])
def test_a_tiff_whose_white_is_0_is_inverted(tmp_path: Path, mode: str, kind: str) -> None:
    highest = {"L": 255, "I;16": 65535, "F": 1}[mode]
    row = np.array([0, highest, highest], dtype=kind)
    path = tmp_path / "a.tif"
    written = Image.frombytes(mode, (3, 3), np.tile(row, (3, 1)).tobytes())
    written.save(path)
    content = path.read_bytes()
    black_is_zero, white_is_zero = (b"\x06\x01\x03\x00\x01\x00\x00\x00" + bytes([value]) for value in (1, 0))
    assert content.count(black_is_zero) == 1
    path.write_bytes(content.replace(black_is_zero, white_is_zero))
    assert decode(path, size=3)[0, 0].tolist() == [255, 0, 0]


def test_a_palette_is_looked_up_and_its_clear_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2, 1])
    assert get_color(decode(save_image(tmp_path, image, "opaque.png"), size=2), 0, 1) == BLUE
    clear = decode(save_image(tmp_path, image, "clear.png", transparency=2), size=2)
    assert [get_color(clear, 0, 0), get_color(clear, 1, 0), get_color(clear, 0, 1)] == [RED, GREEN, WHITE]


def test_a_palette_with_an_alpha_for_each_entry_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([*BLACK, *GREEN])
    path = save_image(tmp_path, image, "a.png", transparency=bytes([51, 255]))
    assert get_color(decode(path, size=2)) == (204, 204, 204)


@pytest.mark.parametrize(("mode", "key", "value"), [("RGB", RED, RED), ("L", 9, 9), ("1", 0, 0)])
def test_a_key_color_is_clear(tmp_path: Path, mode: str, key: object, value: int) -> None:
    path = save_image(tmp_path, Image.new(mode, (4, 4), value), "a.png", transparency=key)
    assert get_color(decode(path, size=4)) == WHITE


@pytest.mark.parametrize(
    ("bits", "color_type", "pixels", "key", "expected"),
    [
        (2, 0, b"\x1b", [1], [0, 255, 170, 255]),  # gray values 0, 1, 2, 3
        (4, 0, b"\x05\xaf", [10], [0, 85, 255, 255]),
        (16, 0, b"\x00\x00\x07\x07\x09\x09\xff\xff", [0x0707], [0, 255, 9, 255]),
        (16, 2, b"\x12\x34" * 3 + b"\x34\x12" * 3, [0x1234] * 3, [255, 0x34]),
    ],
)
def test_a_key_color_of_other_than_8_bits_is_clear(
    bits: int, color_type: int, pixels: bytes, key: list[int], expected: list[int], tmp_path: Path
) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", len(expected), 1, bits, color_type, 0, 0, 0)
    chunks = {b"IHDR": header, b"tRNS": struct.pack(f">{len(key)}H", *key), b"IDAT": zlib.compress(b"\0" + pixels)}
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, chunks, chunks.values())) + chunk(b"IEND", b""))
    assert read_image(path, lambda image: np.asarray(to_upright_rgb(image)))[0, :, 0].tolist() == expected


def test_cmyk_becomes_rgb_without_being_inverted(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    assert get_color(decode(save_image(tmp_path, ink, "a.tif"), size=16)) == RED
    assert get_color(decode(save_image(tmp_path, ink, "a.jpg"), size=16)) == pytest.approx(RED, abs=4)


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    lab = Image.frombytes("LAB", (4, 4), bytes([255, 0, 0]) * 16)  # lightness 100, no color
    red, green, blue = get_color(decode(save_image(tmp_path, lab, "a.tif"), size=4))
    assert min(red, green, blue) > 245


def test_the_first_frame_of_an_animation_is_the_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN, BLUE)]
    for name, options in (("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {})):
        path = save_image(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
        assert get_color(decode(path, size=8)) == RED, name


# ----- upright


CORNERS = {  # which saved corner (left or right, top or bottom) comes to the upper left, by the EXIF standard
    1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path, name: str, orientation: int) -> None:
    marks = [[RED, GREEN], [BLUE, (255, 255, 0)]]
    pixels = np.kron(np.array(marks, dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if name == "a.jpg" else {}
    path = save_image(tmp_path, Image.fromarray(pixels), name, exif=exif, **options)
    image = decode(path, size=16)
    with Image.open(path) as opened:  # not loaded, as users of Pillow pass it
        assert (to_square_pixels(opened, size=16) == image.numpy()).all()
    x, y = CORNERS[orientation]
    swapped = orientation >= 5  # rows become columns
    right = (x, 1 - y) if swapped else (1 - x, y)
    assert get_color(image, 2, 2) == pytest.approx(marks[y][x], abs=12)
    assert get_color(image, 13, 2) == pytest.approx(marks[right[1]][right[0]], abs=12)


def test_damaged_exif_leaves_the_picture_as_it_lies(tmp_path: Path) -> None:
    path = save_image(tmp_path, Image.new("RGB", (16, 16), RED), "a.jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert get_color(decode(path, size=16)) == pytest.approx(RED, abs=4)


# ----- to a square


def write_stripes(tmp_path: Path, width: int, height: int) -> Path:
    """Red on the left quarter, green in the middle half, blue on the right quarter (of the longer side)."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    along = pixels if width >= height else pixels.transpose(1, 0, 2)
    length = max(width, height)
    along[:, : length // 4], along[:, length // 4 : -length // 4], along[:, -length // 4 :] = RED, GREEN, BLUE
    return save_image(tmp_path, Image.fromarray(pixels), "stripes.png")


def test_crop_keeps_the_centre_square(tmp_path: Path) -> None:
    wide, tall = (decode(write_stripes(tmp_path, *size), size=10) for size in ((40, 20), (20, 40)))
    for place in range(2, 8):  # at the rim the filter sees beyond
        assert get_color(wide, place, 5) == get_color(tall, 5, place) == GREEN


def test_squash_keeps_everything_and_distorts(tmp_path: Path) -> None:
    image = decode(write_stripes(tmp_path, 80, 40), size=40, fit="squash")
    assert [get_color(image, x, 20) for x in (2, 20, 37)] == [RED, GREEN, BLUE]


def test_pad_keeps_everything_and_fills_up_with_white(tmp_path: Path) -> None:
    image = decode(write_stripes(tmp_path, 80, 40), size=40, fit="pad")
    assert [get_color(image, x, 20) for x in (2, 20, 37)] == [RED, GREEN, BLUE]
    assert [get_color(image, 20, y) for y in (0, 9, 30, 39)] == [WHITE] * 4
    assert get_color(image, 20, 11) != WHITE


def test_scaling_down_averages_and_does_not_pick_single_pixels(tmp_path: Path) -> None:
    board = np.indices((256, 256)).sum(axis=0).astype(np.uint8) % 2 * 255
    image = decode(save_image(tmp_path, Image.fromarray(board), "board.png"), size=16)
    assert image.float().sub(127.5).abs().max() < 4


def test_a_jpeg_of_small_squares_keeps_them_sharp(tmp_path: Path) -> None:
    squares = np.kron(np.indices((75, 75)).sum(axis=0) % 2 * 255, np.ones((8, 8))).astype(np.uint8)
    image = Image.fromarray(squares)
    jpeg = decode(save_image(tmp_path, image, "a.jpg", quality=95), size=200)
    png = decode(save_image(tmp_path, image, "a.png"), size=200)
    assert (jpeg.int() - png.int()).abs().max() <= 12


def test_a_large_jpeg_looks_the_same_as_its_png(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 800 * 600).reshape(600, 800).astype(np.uint8)
    image = Image.merge("RGB", [Image.fromarray(plane) for plane in (ramp, ramp[::-1], ramp[:, ::-1])])
    jpeg = decode(save_image(tmp_path, image, "a.jpg", quality=95), size=32)
    png = decode(save_image(tmp_path, image, "a.png"), size=32)
    assert (jpeg.int() - png.int()).abs().max() <= 4


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"]),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    size=st.integers(1, 40),
    fit=st.sampled_from(["crop", "squash", "pad"]),
)
def test_every_mode_and_size_gives_uint8_of_three_channels_and_the_size(
    tmp_path: Path, mode: str, width: int, height: int, size: int, fit: str
) -> None:
    options = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}  # Pillow before 13 reads no other of its own
    path = save_image(tmp_path, Image.new(mode, (width, height)), "a.png" if mode == "P" else "a.tif", **options)
    image = decode(path, size=size, fit=fit)
    assert (image.dtype, tuple(image.shape), image.is_contiguous()) == (torch.uint8, (3, size, size), True)


# ----- files that are no images


def test_heic_is_read_upright_where_the_extra_is_installed(tmp_path: Path) -> None:
    assert ".heic" in image_extensions()
    halves = Image.new("RGB", (64, 64), BLUE)
    halves.paste(RED, (0, 0, 64, 32))  # red above blue
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by half
    path = save_image(tmp_path, halves, "a.heic", exif=exif.tobytes(), quality=95)
    image = decode(path, size=64)
    assert get_color(image, 32, 48) == pytest.approx(RED, abs=12)
    assert get_color(image, 32, 16) == pytest.approx(BLUE, abs=12)
    path.rename(tmp_path / "a")
    assert is_image(tmp_path / "a")
