"""Files that are no image, or one that is damaged or too large, are refused with the reason."""

import io
import pickle
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from copycat.data.decode import UnreadableImage, decode, image_extensions, is_image
from tests.support.images import get_color, save_image


def make_jpeg(size: tuple[int, int] = (64, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).save(buffer, "JPEG")
    return buffer.getvalue()


def png_without_pixels(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\x08IDAT"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html>\n<HTML><body>404</body></HTML>", "a web page, not an image"),
        (b"some words", "not an image that Pillow knows"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image that Pillow knows"),
        (make_jpeg()[:900], "truncated"),
        (make_jpeg()[:30], "not an image|damaged|truncated"),
        (png_without_pixels(10_000, 9_000), "10000 x 9000 pixels, above the limit of 89478485"),
        (png_without_pixels(60_000, 60_000), "above the limit of 89478485 pixels"),
        (png_without_pixels(10, 10), "damaged|truncated"),
    ],
    ids=["empty", "web page", "words", "postscript", "half", "start", "bomb", "large bomb", "no pixels"],
)
def test_what_is_no_whole_picture_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as raised:
        decode(path, size=8)
    assert (raised.value.path, isinstance(raised.value, ValueError)) == (path, True)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="No such file"):
        decode(tmp_path / "none.png", size=8)
    with pytest.raises(UnreadableImage, match="directory"):
        decode(tmp_path, size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from(["png", "gif", "webp", "tif", "bmp", "jpg"]),
    place=st.integers(0, 3000),
    value=st.integers(0, 255),
    kept=st.floats(0, 1),
)
def test_damage_anywhere_gives_a_picture_or_the_one_error(
    tmp_path: Path, ending: str, place: int, value: int, kept: float
) -> None:
    path = save_image(tmp_path, Image.effect_noise((24, 24), 50), f"a.{ending}")
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content[: round(kept * len(content))])
    try:
        assert tuple(decode(path, size=8).shape) == (3, 8, 8)
    except UnreadableImage as error:
        assert error.reason  # noqa: PT017 - either way is right


def test_the_error_survives_the_way_back_from_a_worker(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage(tmp_path / "a.jpg", "empty file")))
    assert str(error) == f"{tmp_path / 'a.jpg'}: empty file"


def test_threads_that_decode_leave_the_warning_filters_as_they_were(tmp_path: Path) -> None:
    palette = Image.new("P", (40, 40))
    path = save_image(tmp_path, palette, "a.png", transparency=b"\x00\x80\xff")
    before, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: decode(path, size=8), range(200)))
    assert len(images) == 200
    assert warnings.filters == before
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillow_stays_muted_until_the_last_thread_is_out(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"  # Pillow warns of it, and here a warning is an error
    bomb.write_bytes(png_without_pixels(10_000, 9_000))

    def reason(_: int) -> str:
        with pytest.raises(UnreadableImage) as raised:
            decode(bomb, size=8)
        return raised.value.reason

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads come and go crosswise
    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(reason, range(300))) == {"10000 x 9000 pixels, above the limit of 89478485"}
    finally:
        sys.setswitchinterval(interval)


def test_usual_endings_are_known_and_those_that_are_not_decoded_are_not() -> None:
    endings = image_extensions()
    assert {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"} <= endings
    assert not {".txt", ".h5", ".pdf", ".mpg", ".eps", ""} & endings


def test_a_limit_of_its_own_lets_larger_images_in_and_keeps_smaller_ones_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = save_image(tmp_path, Image.new("RGB", (20, 20), (255, 0, 0)), "a.png")
    with pytest.raises(UnreadableImage, match="above the limit of 100 pixels"):
        decode(path, size=2)
    assert get_color(decode(path, size=2, max_pixels=400)) == (255, 0, 0)
    with pytest.raises(UnreadableImage, match="20 x 20 pixels, above the limit of 399"):
        decode(path, size=2, max_pixels=399)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_images_are_known_by_their_content_whatever_they_are_called(tmp_path: Path) -> None:
    save_image(tmp_path, Image.new("RGB", (4, 4)), "a.jpg").rename(tmp_path / "a")
    (tmp_path / "b").write_bytes(png_without_pixels(60_000, 60_000))
    (tmp_path / "c").write_text("P1 words, which are no bitmap")
    assert [is_image(tmp_path / name) for name in ("a", "b", "c", "none")] == [True, True, False, False]
