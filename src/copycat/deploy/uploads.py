"""Images that clients send to `copycat app` and `copycat serve`, with limits on memory and time."""

import logging
from asyncio import timeout
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

MAX_BYTES = 20 * 2**20
"""Size of an image in bytes, at most."""
MAX_IMAGES = 64
"""Images in a request, at most: `copycat predict` takes as many at once."""
MAX_REQUESTS = 200
"""Concurrent requests, at most."""
MAX_TOTAL_BYTES = 10 * MAX_BYTES
"""Total size of all images in memory, in bytes, at most."""
MAX_BATCH_BYTES = 5 * MAX_BYTES
"""Size of a request with several images in bytes, at most."""
TIMEOUT_SECONDS = 60.0
"""Time limit of an upload, in seconds."""
logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # the answer says what is wrong with a form
MULTIPART = "multipart/form-data"
TYPES = ("image/*", "application/octet-stream", MULTIPART)
"""Content types that are read."""
CURL = "-F image=@cat.jpg"
"""How curl sends an image."""
UNNAMED = "-"
"""Name of an image that was sent without one."""


class RefusedUpload(Exception):  # noqa: N818, an answer, not an error
    """Answer a request other than with a prediction, with an HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        """Set the HTTP status and the reason shown to the user."""
        super().__init__(status, reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class SentImage:
    """Hold an image file that a client sent."""

    name: str
    """As the client calls it: never a path to open."""
    content: bytes | bytearray


class Uploads:
    """Count the images in memory, and refuse those above the limits."""

    def __init__(self) -> None:
        """Start without uploads."""
        self.count = self.bytes = 0

    @asynccontextmanager
    async def receive(self, request: Request, *, most: int = MAX_BYTES) -> AsyncIterator[bytearray]:
        """Receive the body of a request, of `most` bytes, and count it until it is answered.

        Raises:
            RefusedUpload: where it is too large or too slow, or too many wait.
            ClientDisconnect: where the client disconnects.
        """
        if self.count >= MAX_REQUESTS:
            raise _busy()
        content = bytearray()
        self.count += 1
        try:
            try:
                async with timeout(TIMEOUT_SECONDS):
                    async for part in request.stream():
                        self._add(content, part, most)
            except TimeoutError:
                raise RefusedUpload(408, f"took more than {TIMEOUT_SECONDS:g} s to arrive: send it again") from None
            yield content
        finally:
            self.count -= 1
            self.bytes -= len(content)

    def _add(self, content: bytearray, part: bytes, most: int) -> None:
        content += part
        self.bytes += len(part)
        if len(content) > most:
            raise _too_large(most)
        if self.bytes > MAX_TOTAL_BYTES:
            raise _busy()

    @asynccontextmanager
    async def receive_images(self, request: Request) -> AsyncIterator[Sequence[SentImage]]:
        """Receive one image as the body of a request, or several as the files of a form.

        Raises:
            RefusedUpload: as `receive` does, and where the request holds something else.
            ClientDisconnect: where the client disconnects.
        """
        kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
        if kind != MULTIPART:
            if kind not in TYPES and not kind.startswith("image/"):
                raise RefusedUpload(
                    415, f"expected Content-Type {', '.join(TYPES)}; got {kind!a:.80}. With curl: {CURL}"
                )
            async with self.receive(request) as content:
                if not content:
                    raise RefusedUpload(400, "expected an image; got an empty body")
                yield [SentImage(UNNAMED, content)]
            return
        async with self.receive(request, most=MAX_BATCH_BYTES) as content:
            yield await _read_form(request, content)


class _FormParser(MultiPartParser):
    """Keep all of a form in memory, so that no image is written to a disk."""

    spool_max_size = MAX_BATCH_BYTES + 1


async def _read_form(request: Request, content: bytearray) -> Sequence[SentImage]:
    """Return the files of a form, whatever its fields are called."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield bytes(content)

    try:
        form = await _FormParser(request.headers, stream(), max_files=MAX_IMAGES, max_fields=MAX_IMAGES).parse()
    except MultiPartException as error:
        is_too_many = error.message.startswith("Too many files")
        if is_too_many:
            raise RefusedUpload(413, f"more than {MAX_IMAGES} images: send them in several requests") from None
        raise RefusedUpload(400, f"expected a form of files; {error.message}") from None
    async with _closed(form.multi_items()) as files:
        images = [SentImage(file.filename or UNNAMED, await file.read()) for file in files]
    if not images:
        raise RefusedUpload(400, f"expected images as files of the form; got none. With curl: {CURL}")
    if any(len(image.content) > MAX_BYTES for image in images):
        raise _too_large(MAX_BYTES)
    return images


@asynccontextmanager
async def _closed(items: Sequence[tuple[str, UploadFile | str]]) -> AsyncIterator[Sequence[UploadFile]]:
    files = [value for _, value in items if isinstance(value, UploadFile)]
    try:
        yield files
    finally:
        for file in files:
            await file.close()


def _too_large(most: int) -> RefusedUpload:
    smaller = "a smaller image" if most == MAX_BYTES else "fewer images"
    return RefusedUpload(413, f"more than {most >> 20} MB: send {smaller}")


def _busy() -> RefusedUpload:
    return RefusedUpload(503, "too many images are waiting: try again in a moment")
