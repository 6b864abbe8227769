"""Serve `copycat app`, and post images to it."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serve_app(folder: Path) -> Iterator[str]:
    """Serve `copycat app` for a folder; yield its address, and require a clean end."""
    command = [sys.executable, "-m", "copycat", "app", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as app:
        try:
            assert app.stdout is not None
            yield app.stdout.readline().split()[0]
        finally:
            app.send_signal(signal.SIGINT)
            _, errors = app.communicate(timeout=60)
    assert app.returncode == 0
    assert errors == ""


def post_image(address: str, content: bytes, *, name: str, host: str | None = None) -> tuple[int, dict[str, object]]:
    """Post an image for a run's prediction; return the status and the decoded answer."""
    headers = {"Host": host} if host else {}
    query = urllib.parse.urlencode({"run": name})
    request = urllib.request.Request(f"{address}predict?{query}", content, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else {"error": text}
