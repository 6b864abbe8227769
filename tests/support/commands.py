"""Run `copycat` in this process, or in one forked from a server that has already imported PyTorch and others."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Self

import pytest

from copycat.cli import main

TIMEOUT_SECONDS = 400
"""Time limit of one command."""
CompletedCommand = subprocess.CompletedProcess[str]


def call_copycat(*arguments: object, status: int = 0) -> None:
    """Call `copycat` in this process, and require its exit status."""
    with pytest.raises(SystemExit, match=f"^{status}$"):
        main([str(argument) for argument in arguments])


class RunningCommand:
    """Signal a command that runs, wait for it and read what it printed, as with `subprocess.Popen`."""

    def __init__(self, words: list[str], process: int, status: int, out: IO[bytes], err: IO[bytes]) -> None:
        self.args, self.pid = words, process
        self.returncode: int | None = None
        self._status, self._out, self._err = status, out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.poll() is None:
            self.kill()
        self.wait()
        for file in (self._out, self._err):
            file.close()

    def poll(self) -> int | None:
        """Return the exit status, or None while the command runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float = TIMEOUT_SECONDS) -> int:
        """Wait for the end of the command and return its exit status.

        Raises:
            subprocess.TimeoutExpired: where it still runs after `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = int(json.loads(os.read(self._status, 64)))
            os.close(self._status)
        return self.returncode

    def communicate(self, timeout: float = TIMEOUT_SECONDS) -> tuple[str, str]:
        """Wait, then return what went to standard output and to standard error."""
        self.wait(timeout)
        for file in (self._out, self._err):
            file.seek(0)
        return self._out.read().decode(), self._err.read().decode()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_copycat(
    *arguments: object,
    at: Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    program: str = "",
    new_session: bool = False,
) -> RunningCommand:
    """Start `copycat` with these arguments in a folder.

    Args:
        stdin: what it reads from standard input.
        environment: variables beside those of the tests.
        program: Python code that is run before, in the same process.
        new_session: whether it leads a process group of its own.
    """
    words = [str(word) for word in arguments]
    request = {
        "words": words,
        "folder": str(at),
        "environment": os.environ | dict(environment or {}),
        "program": program,
        "new_session": new_session,
    }
    (status, reports), (given, gives) = os.pipe(), os.pipe()
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
    server = _start_server()[0]
    socket.send_fds(server, [json.dumps(request).encode()], [given, out.fileno(), err.fileno(), reports])
    for end in (given, reports):
        os.close(end)
    process = json.loads(server.recv(64))
    with suppress(BrokenPipeError), open(gives, "wb") as file:  # a command need not read it
        file.write(stdin)
    return RunningCommand(words, process, status, out, err)


def run_copycat(
    *arguments: object,
    at: Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    program: str = "",
) -> CompletedCommand:
    """Run `copycat` as `start_copycat` does and wait for it.

    Raises:
        subprocess.TimeoutExpired: after TIMEOUT_SECONDS; the process is killed.
    """
    with start_copycat(*arguments, at=at, stdin=stdin, environment=environment, program=program) as command:
        out, err = command.communicate()
    assert command.returncode is not None
    return CompletedCommand(["copycat", *command.args], command.returncode, out, err)


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
