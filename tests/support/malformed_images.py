"""Write two hundred files: valid and damaged images of many formats, and files that are no images."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000")
FILE_COUNT = 200


def write_malformed_images(folder: Path) -> list[Path]:
    """Write the files to a new folder; return their paths."""
    folder.mkdir(parents=True)
    paths = []
    for number, (name, content) in zip(range(FILE_COUNT), _make_files(), strict=False):
        path = folder / f"{number:03}-{name}"
        path.write_bytes(content)
        paths.append(path)
    assert len(paths) == FILE_COUNT
    return paths


def _make_files() -> Iterator[tuple[str, bytes]]:
    chance = np.random.default_rng(0)
    photo = Image.fromarray(chance.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    whole = {name: _encode_image(photo, name) for name in FORMATS}
    yield "empty.png", b""
    yield "page.jpg", b"<!doctype html><html><body>404</body></html>"
    yield "drawing.jpg", b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="5"/></svg>'
    yield "drawing.png", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "text.png", "Katze".encode("utf-16")
    yield "archive.png", b"PK\x03\x04" + bytes(60)
    yield "bomb.png", _make_png_header(30_000, 30_000)
    yield "wide.png", _make_png_header(2**31 - 1, 1)
    yield "nothing.png", _make_png_header(0, 0)
    yield "dot.png", _encode_image(photo.resize((1, 1)), "PNG")
    yield "line.png", _encode_image(photo.resize((900, 1)), "PNG")
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "I", "F", "HSV", "LAB"):
        form = "TIFF" if mode in ("F", "HSV", "LAB", "YCbCr", "CMYK", "I", "LA") else "PNG"
        saved = photo.convert("RGB" if mode == "LAB" else mode if mode != "LA" else "LA")
        yield f"{mode}.{form.lower()}", _encode_image(saved if mode not in ("HSV", "LAB") else photo, form)
    yield "deep.png", _encode_image(Image.fromarray(chance.integers(0, 2**16, (9, 9), dtype=np.uint16)), "PNG")
    frames = BytesIO()
    photo.save(frames, "GIF", save_all=True, append_images=[photo.rotate(90)] * 3)
    yield "moves.gif", frames.getvalue()
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        turned = BytesIO()
        photo.save(turned, "JPEG", exif=exif)
        yield f"turned{turn}.jpg", turned.getvalue()
    for name, content in whole.items():  # under the ending of another
        yield f"{name}-as.{'png' if name != 'PNG' else 'jpg'}", content
    for name, content in whole.items():
        for share in (0.02, 0.1, 0.3, 0.5, 0.9):
            yield f"{name}-cut{share}.png", content[: int(len(content) * share)]
        for _ in range(12):
            damaged = bytearray(content)
            for place in chance.integers(0, len(damaged), 5):
                damaged[place] ^= 0xFF
            yield f"{name}-damaged.png", bytes(damaged)


def _encode_image(image: Image.Image, form: str) -> bytes:
    image.save(found := BytesIO(), form)
    return found.getvalue()


def _make_png_header(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size, without pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
