"""Run `copycat` in a process of its own, forked from a server that has already imported PyTorch and other packages."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

TIMEOUT_SECONDS = 400
"""Time limit of one command."""
CompletedCommand = subprocess.CompletedProcess[str]


def run_copycat(*arguments: object, at: Path) -> CompletedCommand:
    """Run `copycat` with these arguments in a folder and wait for it.

    Raises:
        subprocess.TimeoutExpired: after TIMEOUT_SECONDS; the process is killed.
    """
    words, (server, _) = [str(word) for word in arguments], _start_server()
    request = {"words": words, "folder": str(at), "environment": dict(os.environ)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
        files = [nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(server, [json.dumps(request).encode()], files)
        process, late = json.loads(server.recv(64)), not select.select([server], [], [], TIMEOUT_SECONDS)[0]
        if late:
            os.kill(process, signal.SIGKILL)
        status = json.loads(server.recv(64))
        out.seek(0)
        err.seek(0)
        done = CompletedCommand(["copycat", *words], status, out.read().decode(), err.read().decode())
    if late:
        raise subprocess.TimeoutExpired(done.args, TIMEOUT_SECONDS, done.stdout, done.stderr)
    return done


def run_copycat_in_new_interpreter(*arguments: object, at: Path, **environment: str) -> CompletedCommand:
    """Run `copycat` in a new interpreter with extra environment variables, for settings that are read at start-up."""
    command = [sys.executable, "-m", "copycat", *map(str, arguments)]
    merged = os.environ | environment
    return subprocess.run(
        command, cwd=at, env=merged, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


@cache
def _start_server() -> tuple[socket.socket, int]:
    """Start the fork server once per test process; return the socket that it listens to, and its process id."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = str(Path(__file__).with_name("scripts") / "fork_server.py")
    server = subprocess.Popen([sys.executable, script, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()  # the server ends when its socket closes
        server.wait(60)

    atexit.register(end)
    return ours, server.pid


def get_server_process() -> int | None:
    """Return the process id of the fork server; None before the first command."""
    return _start_server()[1] if _start_server.cache_info().currsize else None
