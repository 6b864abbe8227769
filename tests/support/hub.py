"""Serve data sets as the Hugging Face Hub does, on this machine: only what `datasets` asks for."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MAIN = "main"


@dataclass
class MiniHub:
    """Hold the files of one public data set, by commit."""

    name: str
    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def resolve(self, revision: str) -> str | None:
        """Return the commit that a revision names; `main` is the newest."""
        if revision == MAIN and self.commits:
            return list(self.commits)[-1]
        return revision if revision in self.commits else None

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve until the block ends, and give the address."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append(f"{request.command} {path}")
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        words = path.strip("/").split("/")
        of_api = words[:2] == ["api", "datasets"]
        rest = words[2 if of_api else 1 :]
        name, rest = "/".join(rest[:2]), rest[2:]
        if name != self.name or (not of_api and words[0] != "datasets"):
            return _send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        revision = rest[1] if len(rest) > 1 else MAIN
        if (commit := self.resolve(revision)) is None:
            return _send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = self.commits[commit]
        head = {"X-Repo-Commit": commit}
        if not of_api:
            file = "/".join(rest[2:])
            if file not in files:
                return _send(request, 404, b"", {**head, "X-Error-Code": "EntryNotFound"})
            return _send(request, 200, files[file], {**head, "ETag": f'"{sha256(files[file]).hexdigest()}"'})
        listed = [
            {"type": "file", "path": file, "size": len(content), "oid": sha256(content).hexdigest()[:40]}
            for file, content in files.items()
        ]
        if rest[:1] == ["tree"]:
            return _send_json(request, _children(listed, "/".join(rest[2:]), "recursive=True" in request.path), head)
        if rest[:1] == ["paths-info"]:
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            return _send_json(request, [entry for entry in listed if entry["path"] in wanted], head)
        siblings = [{"rfilename": file} for file in files]
        about = {"id": name, "sha": commit, "private": False, "gated": False, "tags": [], "siblings": siblings}
        return _send_json(request, about, head)


def _children(listed: list[dict[str, Any]], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """Return the files and folders in a folder, and below it if asked."""
    inside = [entry for entry in listed if entry["path"].startswith(f"{folder}/" if folder else "")]
    depth = len(folder.split("/")) if folder else 0
    folders = dict.fromkeys("/".join(e["path"].split("/")[: depth + 1]) for e in inside if e["path"].count("/") > depth)
    direct = [entry for entry in inside if recursive or entry["path"].count("/") == depth]
    return direct + [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in folders]


def _send_json(request: BaseHTTPRequestHandler, value: object, headers: Mapping[str, str]) -> None:
    _send(request, 200, json.dumps(value).encode(), {**headers, "Content-Type": "application/json"})


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
