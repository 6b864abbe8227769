"""An image file of any size, mode and format to uint8 RGB of one size.

This file is copied beside exported networks, whose scripts decode with it: it imports NumPy and Pillow alone.
"""

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

FITS = ("crop", "squash", "pad")

# Pillow names these formats, but decodes none of them itself: EPS starts Ghostscript, which runs the file as a program;
# the others are placeholders for decoders that somebody else has to bring.
FOREIGN_FORMATS = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})

PLAIN_FORMATS = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"})
"""Formats whose files begin with bytes that no text and no other file begins with."""
NEEDS: Mapping[str, str] = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC needs pip install 'copycat-ml[heic]'"),
    ".avif": "AVIF needs Pillow 11.3",
    ".jxl": "JPEG XL is not read, save it as PNG",
}
"""What it takes to read images of these endings, where they are not read."""
ABOVE_LIMIT = "above the limit of"
"""Words of the reason why an image of too many pixels is not read."""

EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(ValueError):  # noqa: N818 - it says what is the matter with the file
    """A file that gives no image, with the reason in plain words.

    Args:
        is_too_large: whether it has more pixels than the limit.
    """

    def __init__(self, path: Path, reason: str, *, is_too_large: bool = False) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.is_too_large = is_too_large

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def image_extensions() -> frozenset[str]:
    """Lower-case endings, with their dot, of the files that `decode` reads; grows with the Pillow plugins imported."""
    with _pillow_muted:
        formats = _formats()
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


def is_image(path: Path) -> bool:
    """Whether a file has the content of an image, whatever it is called; its pixels are not decoded."""
    try:
        with _pillow_muted, Image.open(path, formats=[name for name in _formats() if name in PLAIN_FORMATS]):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # as below
        return False


def decoder_versions() -> Sequence[str]:
    """The versions of the packages that decode images."""
    heif = _heif()
    return (PIL.__version__,) if heif is None else (PIL.__version__, heif)


def decode(path: Path, *, size: int, fit: str = "crop", max_pixels: int | None = None) -> "Tensor":
    """Decode an image as `decode_pixels` does, to a tensor."""
    import torch

    return torch.from_numpy(decode_pixels(path, size=size, fit=fit, max_pixels=max_pixels))


def decode_pixels(path: Path, *, size: int, fit: str = "crop", max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Image at `path` as uint8 [3, size, size], RGB.

    Turned upright by its EXIF orientation; the first frame of an animation. Transparency lies on white. Palette, grey,
    1-bit, CMYK, YCbCr, HSV and LAB become RGB; embedded colour profiles are not applied. Deep grey is scaled to 8 bit
    by what its white is: 65535 for 16-bit files; for 32-bit integers 65535, or where the image exceeds that its own
    highest value; for floats the first of 1, 255 and 65535 that the image does not exceed, else its highest value.
    Below 0 is black. An image of the right size keeps its pixels; others are resampled (bicubic, antialiased).

    Args:
        fit: `crop` scales the shorter side to `size` and keeps the centre; `squash` scales both sides and so distorts;
            `pad` scales the longer side and fills up with white.
        max_pixels: of the image as it lies in the file; None: Pillow's `MAX_IMAGE_PIXELS`, 89 million.

    Raises:
        UnreadableImage: where the file is missing, empty, truncated, no image, or has more than `max_pixels`.
    """
    assert fit in FITS, fit
    try:
        with _pillow_muted.allowing(max_pixels), path.open("rb") as file:
            limit = _pillow_muted.limit if max_pixels is None else max_pixels
            if not (head := file.read(512)):
                raise UnreadableImage(path, "empty file")
            with Image.open(file, formats=_formats()) as image:
                if limit is not None and image.width * image.height > limit:
                    reason = f"{image.width} x {image.height} pixels, {ABOVE_LIMIT} {limit}"
                    raise UnreadableImage(path, reason, is_too_large=True)
                # A JPEG decodes straight to a half, quarter or eighth: much faster, and twice the size is enough.
                image.draft(None, (2 * size, 2 * size))
                image.load()
                turn = _turn(image)
                rgb = _rgb(image) if turn is None else _rgb(image).transpose(turn)
                square = _square(rgb, size=size, fit=fit)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        reason = NEEDS.get(path.suffix.lower(), "not an image that Pillow knows")
        reason = "a web page, not an image" if b"<html" in head.lower() else reason
        raise UnreadableImage(path, reason) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(path, f"{ABOVE_LIMIT} {limit} pixels", is_too_large=True) from None
    except Exception as error:  # a damaged file makes Pillow's readers raise anything: struct.error, EOFError, KeyError
        raise UnreadableImage(path, _reason(error)) from error
    return np.ascontiguousarray(np.array(square).transpose(2, 0, 1))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # from the file system, not from Pillow
        return error.strerror
    text = str(error).partition("\n")[0]
    return f"damaged: {text}" if text else f"damaged ({type(error).__name__})"


@cache
def _heif() -> str | None:
    """Have Pillow read HEIC where the extra is installed; the version of the package that does."""
    with suppress(ImportError):
        plugin = import_module("pillow_heif")
        plugin.register_heif_opener()
        return str(plugin.__version__)
    return None


def _formats() -> list[str]:
    Image.preinit()  # the common formats first: Pillow tries them in this order
    Image.init()
    _heif()
    return [name for name in Image.ID if name not in FOREIGN_FORMATS]


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return UPRIGHT.get(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # the pixels are there: damaged EXIF alone makes no image unreadable
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
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


def _eight_bit(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.float64)
    # in place: of a large image, each copy takes hundreds of megabytes
    np.nan_to_num(grey, copy=False, posinf=float(np.finfo(np.float32).max))
    np.maximum(grey, 0.0, out=grey)
    highest = float(grey.max())
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((white for white in whites if highest <= white), highest)
    grey *= 255.0 / white
    return Image.fromarray(np.round(grey, out=grey).astype(np.uint8))


def _square(image: Image.Image, *, size: int, fit: str) -> Image.Image:
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


class _Muted:
    """Mutes Pillow's warnings, and raises its limit of pixels, while any thread decodes.

    `warnings.catch_warnings` belongs to the process: threads that enter and leave it crosswise would leave a wrong
    filter behind. So the first thread in mutes, and the last one out restores. The limit is the process's
    too: each thread holds images against its own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limit = Image.MAX_IMAGE_PIXELS
        """Pillow's, where no thread raised it."""

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.limit = Image.MAX_IMAGE_PIXELS
                self.before = warnings.catch_warnings()
                self.before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.before.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = self.limit

    @contextmanager
    def allowing(self, pixels: int | None) -> Iterator[None]:
        """Have Pillow open images of that many pixels; None leaves its limit as it is."""
        with self:
            with self.lock:
                if pixels is not None and Image.MAX_IMAGE_PIXELS is not None:
                    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixels)
            yield


_pillow_muted = _Muted()
