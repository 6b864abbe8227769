"""Images that clients of `copycat app` send: how much of them is in memory at once, and for how long."""

from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

MOST_BYTES = 20 * 2**20
"""Of an image."""
MOST_WAITING = 200
"""Images that are sent, or wait for their answer, at once."""
MOST_BYTES_WAITING = 10 * MOST_BYTES
"""Of all of them."""
SECONDS = 60.0
"""That sending an image may take."""


class RefusedUpload(Exception):  # noqa: N818, an answer, not an error
    """An answer other than a prediction, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


class Uploads:
    """Counts the images that are in memory, and refuses one too many."""

    def __init__(self) -> None:
        self.count = self.bytes = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[bytearray]:
        """Receive the body of a request, and hold its place until it is answered.

        Raises:
            RefusedUpload: where it is too large or too slow, or too many wait.
            ClientDisconnect: where the client goes away.
        """
        if self.count >= MOST_WAITING:
            raise _busy()
        content = bytearray()
        self.count += 1
        try:
            try:
                async with timeout(SECONDS):
                    async for part in request.stream():
                        self._add(content, part)
            except TimeoutError:
                raise RefusedUpload(408, f"took more than {SECONDS:g} s to arrive: send it again") from None
            yield content
        finally:
            self.count -= 1
            self.bytes -= len(content)

    def _add(self, content: bytearray, part: bytes) -> None:
        content += part
        self.bytes += len(part)
        if len(content) > MOST_BYTES:
            raise RefusedUpload(413, f"more than {MOST_BYTES >> 20} MB: send a smaller image")
        if self.bytes > MOST_BYTES_WAITING:
            raise _busy()


def _busy() -> RefusedUpload:
    return RefusedUpload(503, "too many images are waiting: send it again in a moment")
