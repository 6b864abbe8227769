"""Uploads to `copycat app`, with limits on memory and time."""

from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

MAX_BYTES = 20 * 2**20
"""Size of an image in bytes, at most."""
MAX_REQUESTS = 200
"""Concurrent requests, at most."""
MAX_TOTAL_BYTES = 10 * MAX_BYTES
"""Total size of all images in memory, in bytes, at most."""
TIMEOUT_SECONDS = 60.0
"""Time limit of an upload, in seconds."""


class RefusedUpload(Exception):  # noqa: N818, an answer, not an error
    """Answer a request other than with a prediction, with an HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        """Set the HTTP status and the reason shown to the user."""
        super().__init__(status, reason)
        self.status, self.reason = status, reason


class Uploads:
    """Count the images in memory, and refuse those above the limits."""

    def __init__(self) -> None:
        """Start without uploads."""
        self.count = self.bytes = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[bytearray]:
        """Receive the body of a request, and count it until it is answered.

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
                        self._add(content, part)
            except TimeoutError:
                raise RefusedUpload(408, f"took more than {TIMEOUT_SECONDS:g} s to arrive: send it again") from None
            yield content
        finally:
            self.count -= 1
            self.bytes -= len(content)

    def _add(self, content: bytearray, part: bytes) -> None:
        content += part
        self.bytes += len(part)
        if len(content) > MAX_BYTES:
            raise RefusedUpload(413, f"more than {MAX_BYTES >> 20} MB: send a smaller image")
        if self.bytes > MAX_TOTAL_BYTES:
            raise _busy()


def _busy() -> RefusedUpload:
    return RefusedUpload(503, "too many images are waiting: try again in a moment")
