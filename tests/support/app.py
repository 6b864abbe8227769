"""Serve `copycat app` and `copycat serve`, and post images to them."""

import asyncio
import html
import json
import re
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.applications import Starlette


@contextmanager
def serve_app(
    folder: Path,
    *words: str,
    command: tuple[str, ...] = ("app", "--no-browser"),
    end: signal.Signals = signal.SIGINT,
    warning: str = "",
) -> Iterator[str]:
    """Serve `copycat app`, or another command, for a folder; yield its address, and require a clean end by a signal.

    Nothing but the progress and the warning, a pattern, may go to standard error.
    """
    command = (sys.executable, "-m", "copycat", *command, str(folder), *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as app:
        try:
            assert app.stdout is not None
            yield app.stdout.readline().split()[0]
        finally:
            app.send_signal(end)
            _, errors = app.communicate(timeout=60)
    assert app.returncode == 0
    assert re.fullmatch(rf"copycat: loading PyTorch and \d+ runs?\n{warning}", errors)


def make_bomb(side: int) -> bytes:
    """Make a WebP of one pixel whose header claims a square: it decodes to that many pixels of one color."""
    Image.new("RGB", (1, 1)).save(file := BytesIO(), "WEBP", lossless=True)
    content = bytearray(file.getvalue())
    place = content.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", content, place)
    struct.pack_into("<I", content, place, bits & ~0xFFFFFFF | (side - 1) << 14 | (side - 1))
    return bytes(content)


def list_runs(address: str) -> list[str]:
    """Return the names of the page's runs."""
    with urllib.request.urlopen(address, timeout=60) as page:
        return [html.unescape(name) for name in re.findall(r'name="run" value="([^"]*)"', page.read().decode())]


def post_image(address: str, content: bytes, *, name: str, host: str | None = None) -> tuple[int, dict[str, object]]:
    """Post an image for a run's prediction; return the status and the decoded answer."""
    headers = {"Host": host} if host else {}
    query = urllib.parse.urlencode({"run": name})
    request = urllib.request.Request(f"{address}page/predict?{query}", content, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else {"error": text}


Answer = tuple[int, Mapping[str, str], Any]


def call_endpoint(
    application: Starlette,
    path: str,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, object] | None = None,
) -> Answer:
    """Ask an endpoint without a server, by POST where there is content; return status, headers and decoded JSON."""

    async def receive() -> Message:
        return {"type": "http.request", "body": content or b"", "more_body": False}

    method = "GET" if content is None else "POST"
    called = _call(application, method, path, query=query, headers=headers, receive=receive)
    status, answered, text = asyncio.run(called)
    return status, answered, json.loads(text)


Message = MutableMapping[str, Any]


async def ask(
    application: Starlette,
    *parts: bytes,
    name: str,
    path: str = "/page/predict",
    query: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    wait: Awaitable[object] | None = None,
    disconnects: bool = False,
) -> tuple[int, dict[str, Any]]:
    """Post an image straight to the application, without a server; return the status and the decoded answer.

    Args:
        parts: the image, as it arrives.
        query: parameters beside the run's name.
        wait: is awaited before the last part arrives.
        disconnects: whether the client goes away before the last part.
    """
    sent = list(parts)

    async def receive() -> Message:
        if len(sent) == 1 and wait is not None:
            await wait
        if not sent or (len(sent) == 1 and disconnects):
            return {"type": "http.disconnect"}
        body = sent.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(sent)}

    status, _, content = await _call(
        application, "POST", path, query={"run": name, **(query or {})}, headers=headers, receive=receive
    )
    return status, json.loads(content) if content else {}


async def get_page(application: Starlette) -> tuple[Mapping[str, str], str]:
    """Return the headers and the text of the page."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    status, headers, content = await _call(application, "GET", "/", receive=receive)
    assert status == 200
    return headers, content.decode()


async def _call(
    application: Starlette,
    method: str,
    path: str,
    *,
    receive: Callable[[], Awaitable[Message]],
    query: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers and content of an answer."""
    answers = list[Message]()

    async def send(message: Message) -> None:
        answers.append(message)

    fields = {"host": "127.0.0.1:8000", **(headers or {})}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": urllib.parse.urlencode(query or {}).encode(),
        "headers": [(key.encode(), value.encode()) for key, value in fields.items()],
    }
    await application(scope, receive, send)
    start, *bodies = answers
    answered = {key.decode(): value.decode() for key, value in start["headers"]}
    return start["status"], answered, b"".join(message["body"] for message in bodies)
