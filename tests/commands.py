"""How tests type a command: in a process of its own, forked from one that has imported PyTorch and the like already."""

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

PATIENCE = 400
"""Seconds."""
Done = subprocess.CompletedProcess[str]


def copycat(*typed: object, at: Path) -> Done:
    """`copycat` with these words in that folder, to its end."""
    words, server = [str(word) for word in typed], _server()
    request = {"words": words, "folder": str(at), "environment": dict(os.environ)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
        files = [nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(server, [json.dumps(request).encode()], files)
        process, late = json.loads(server.recv(64)), not select.select([server], [], [], PATIENCE)[0]
        if late:
            os.kill(process, signal.SIGKILL)
        status = json.loads(server.recv(64))
        out.seek(0)
        err.seek(0)
        done = Done(["copycat", *words], status, out.read().decode(), err.read().decode())
    if late:
        raise subprocess.TimeoutExpired(done.args, PATIENCE, done.stdout, done.stderr)
    return done


def fresh(*typed: object, at: Path, **environment: str) -> Done:
    """The same in an interpreter that starts anew, with more in its environment: for what is read there at a start."""
    command = [sys.executable, "-m", "copycat", *map(str, typed)]
    whole = os.environ | environment
    return subprocess.run(command, cwd=at, env=whole, capture_output=True, text=True, timeout=PATIENCE, check=False)


@cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = str(Path(__file__).with_name("fork_server.py"))
    server = subprocess.Popen([sys.executable, script, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()  # by which it knows
        server.wait(60)

    atexit.register(end)
    return ours
