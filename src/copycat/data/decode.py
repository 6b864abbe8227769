"""Decode an image file of any size, mode and format to uint8 RGB of one size.

Long, since `copycat export` copies it as one file, by which its script decodes: it needs NumPy and Pillow alone.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
VERSION = 2
"""Raised where the pixels of any file change, so that no cache holds earlier ones."""
FIT_MODES = ("crop", "squash", "pad")

# Pillow registers these formats but does not decode them itself: EPS starts Ghostscript, which runs the file as a
# program; the others are placeholders for third-party decoders.
EXCLUDED_FORMATS = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})

RECOGNIZABLE_FORMATS = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"})
"""Formats that are recognized by their first bytes alone."""
FORMAT_HINTS: Mapping[str, str] = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC needs pip install 'copycat-ml[heic]'"),
    ".avif": "AVIF needs Pillow 11.3",
    ".jxl": "JPEG XL is not read, save it as PNG",
}
"""Hint for each file extension that cannot be read without further software."""
LIMIT_MESSAGE = "above the limit of"  # part of the error message for an image with too many pixels

EXIF_ORIENTATION = 0x0112
TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 0x0106, 0
TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(ValueError):  # noqa: N818 - the name describes the file, not the call
    """Report a file that cannot be decoded, with the reason in plain words, and whether it has too many pixels."""

    def __init__(self, path: Path | str, reason: str, *, is_too_large: bool = False) -> None:
        """Store the parts of the message as attributes."""
        super().__init__(path, reason)
        self.path, self.reason, self.is_too_large = Path(path), reason, is_too_large

    def __str__(self) -> str:
        """Return the path and the reason."""
        return f"{self.path}: {self.reason}"


def image_extensions() -> frozenset[str]:
    """Return the lower-case extensions, with their dot, that `decode` reads.

    The set grows with the Pillow plugins that are imported.
    """
    with _pillow_settings.applied():
        formats = _formats()
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


def is_image(path: Path) -> bool:
    """Return whether a file has the content of an image, whatever its extension; its pixels are not decoded."""
    try:
        with _pillow_settings.applied():
            formats = [name for name in _formats() if name in RECOGNIZABLE_FORMATS]
            with Image.open(path, formats=formats):
                return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # a damaged file makes Pillow raise anything, as in `decode_pixels`
        return False


def decoder_versions() -> Sequence[str | int]:
    """Return the versions of this module and of the packages that decode images, by which pixels may be cached."""
    heif = _register_heif()
    return (VERSION, PIL.__version__) if heif is None else (VERSION, PIL.__version__, heif)


def decode(
    path: Path | str, *, size: int, fit: str = "crop", max_pixels: int | None = None, content: bytes | None = None
) -> "Tensor":
    """Decode an image as `decode_pixels` does, to a tensor."""
    import torch

    return torch.from_numpy(decode_pixels(path, size=size, fit=fit, max_pixels=max_pixels, content=content))


def decode_pixels(
    path: Path | str, *, size: int, fit: str = "crop", max_pixels: int | None = None, content: bytes | None = None
) -> NDArray[np.uint8]:
    """Decode an image file to uint8 [3, size, size], RGB.

    The image is turned upright by its EXIF orientation; an animation gives its first frame. Transparency is composed on
    white. Palette, gray, 1-bit, CMYK, YCbCr, HSV and LAB become RGB; embedded color profiles are not applied. Deep gray
    is scaled to 8 bits by its white level: 65535 for 16-bit files; for 32-bit integers 65535, or the image's highest
    value where that is larger; for floats the first of 1, 255 and 65535 that the image does not exceed, else its
    highest value. Values below 0 are black, or white in a TIFF whose white is 0. An image of the right size keeps its
    pixels; others are resampled (bicubic, antialiased).

    Args:
        path: the file.
        size: side of the square, in pixels.
        fit: `crop` scales the shorter side to `size` and keeps the center; `squash` scales both sides and so distorts;
            `pad` scales the longer side and fills up with white.
        max_pixels: limit of the image as it is stored; None: Pillow's `MAX_IMAGE_PIXELS`, 89 million.
        content: bytes of the file, where they are in memory already; `path` is then its name alone.

    Raises:
        UnreadableImage: where the file is missing, empty, truncated, no image, or has more than `max_pixels`.
    """
    assert fit in FIT_MODES, fit

    def convert(image: Image.Image) -> NDArray[np.uint8]:
        # A JPEG decodes straight to a half, quarter or eighth: much faster, and twice the size is enough.
        image.draft(None, (2 * size, 2 * size))
        return to_square_pixels(image, size=size, fit=fit)

    return read_image(path, convert, max_pixels=max_pixels, content=content)


def read_image(
    path: Path | str,
    convert: Callable[[Image.Image], T],
    *,
    max_pixels: int | None = None,
    content: bytes | None = None,
) -> T:
    """Open an image file and apply `convert` to it; the other arguments are those of `decode_pixels`.

    Raises:
        UnreadableImage: as `decode_pixels`, for any error of `convert` too.
    """
    try:
        opened = open(path, "rb") if content is None else BytesIO(content)  # noqa: SIM115, closed below
        with _pillow_settings.applied(max_pixels), opened as file:
            limit = _pillow_settings.limit if max_pixels is None else max_pixels
            if not (head := file.read(512)):
                raise UnreadableImage(path, "empty file")
            with Image.open(file, formats=_formats()) as image:
                if limit is not None and image.width * image.height > limit:
                    reason = f"{image.width} x {image.height} pixels, {LIMIT_MESSAGE} {limit}"
                    raise UnreadableImage(path, reason, is_too_large=True)
                return convert(image)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        hint = FORMAT_HINTS.get(Path(path).suffix.lower(), "not an image that Pillow knows")
        raise UnreadableImage(path, "a web page, not an image" if b"<html" in head.lower() else hint) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(path, f"{LIMIT_MESSAGE} {limit} pixels", is_too_large=True) from None
    except Exception as error:  # a damaged file makes Pillow's readers raise anything: struct.error, EOFError, KeyError
        raise UnreadableImage(path, _describe_error(error)) from error


def to_square_pixels(image: Image.Image, *, size: int, fit: str = "crop") -> NDArray[np.uint8]:
    """Convert an open image to uint8 [3, size, size], RGB, as `decode_pixels` describes."""
    square = _make_square(to_upright_rgb(image), size=size, fit=fit)
    return np.ascontiguousarray(np.array(square).transpose(2, 0, 1))


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an open image to RGB, turned upright by its EXIF orientation."""
    _scale_transparent_color(image)
    image.load()  # first: Pillow turns a TIFF as it loads it, and removes its orientation
    turn = _upright_transpose(image)
    return _to_rgb(image) if turn is None else _to_rgb(image).transpose(turn)


def _scale_transparent_color(image: Image.Image) -> None:
    """Scale the transparent color of a PNG to 8 bits, as Pillow scales the pixels alone."""
    color = image.info.get("transparency")
    raw_mode = image.tile[0][3] if isinstance(image, ImageFile.ImageFile) and image.tile else None
    if raw_mode in ("L;2", "L;4") and color is not None:
        image.info["transparency"] = color * 255 // (2 ** int(raw_mode[2:]) - 1)
    elif raw_mode == "RGB;16B" and color is not None:
        image.info["transparency"] = tuple(value >> 8 for value in color)


def _describe_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # from the file system, not from Pillow
        return error.strerror
    text = str(error).partition("\n")[0]
    return f"damaged: {text}" if text else f"damaged ({type(error).__name__})"


@cache
def _register_heif() -> str | None:
    """Register the HEIC plugin where it is installed, and return its version."""
    with suppress(ImportError):
        plugin = import_module("pillow_heif")
        plugin.register_heif_opener()
        return str(plugin.__version__)
    return None


def _formats() -> list[str]:
    Image.preinit()  # registers the common formats first: Pillow tries formats in the order of registration
    Image.init()
    _register_heif()
    return [name for name in Image.ID if name not in EXCLUDED_FORMATS]


def _upright_transpose(image: Image.Image) -> Image.Transpose | None:
    try:
        return TRANSPOSE_BY_ORIENTATION.get(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF data alone must not make an image unreadable
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _to_8_bit(image).convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None  # None is for in-place conversion
        return converted
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    gray = np.asarray(image).astype(np.float64)
    # in place: each copy of a large image takes hundreds of megabytes
    np.nan_to_num(gray, copy=False, posinf=float(np.finfo(np.float32).max))
    np.maximum(gray, 0.0, out=gray)
    highest = float(gray.max())
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((white for white in whites if highest <= white), highest)
    gray *= 255.0 / white
    if getattr(image, "tag_v2", {}).get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts such files of 8 bits alone
        np.subtract(255.0, gray, out=gray)
    if (transparent := image.info.get("transparency")) is not None:
        gray[np.asarray(image) == transparent] = 255.0
    return Image.fromarray(np.round(gray, out=gray).astype(np.uint8))


def _make_square(image: Image.Image, *, size: int, fit: str) -> Image.Image:
    width, height = image.size
    bicubic = Image.Resampling.BICUBIC
    if fit == "squash":
        return image.resize((size, size), bicubic, reducing_gap=3.0)
    if fit == "pad":
        scale = size / max(width, height)
        inner = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), bicubic, reducing_gap=3.0)
        page = Image.new("RGB", (size, size), "white")
        page.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
        return page
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), bicubic, box=(left, top, left + side, top + side), reducing_gap=3.0)


class _PillowSettings:
    """Mute Pillow's warnings, and raise its pixel limit, while any thread decodes.

    `warnings.catch_warnings` changes the whole process: threads that enter and leave it in turn would restore the wrong
    filters. So the first thread to enter mutes, and the last one to leave restores. The pixel limit is the process's
    too, so each thread checks images against its own limit.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limit = Image.MAX_IMAGE_PIXELS  # Pillow's own pixel limit, restored at the end

    @contextmanager
    def applied(self, pixels: int | None = None) -> Iterator[None]:
        """Mute Pillow, and let it open images of up to `pixels` pixels; None keeps its limit."""
        with self.lock:
            if self.inside == 0:
                self.limit = Image.MAX_IMAGE_PIXELS
                self.before = warnings.catch_warnings()
                self.before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self.inside += 1
            if pixels is not None and Image.MAX_IMAGE_PIXELS is not None:
                Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixels)
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.before.__exit__(None, None, None)
                    Image.MAX_IMAGE_PIXELS = self.limit


_pillow_settings = _PillowSettings()
