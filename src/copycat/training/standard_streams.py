"""Standard output and standard error: a closed pipe or a full disk behind them ends no run."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO


class OutputError(Exception):
    """Standard output takes no more text, and the command exists to write it."""


class TolerantStream:
    """A text stream that keeps its first error, and drops the text from there on.

    Args:
        stream: takes the text.
        is_result: whether the text is what the command is for; then a lost write raises OutputError.
    """

    def __init__(self, stream: TextIO, *, is_result: bool = False) -> None:
        self._stream, self._is_result = stream, is_result
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._call(lambda: self._write(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._call(self._stream.flush)

    def find_loss(self) -> OSError | None:
        """Flush, and return why text was lost; None where it was written, or its reader had seen enough."""
        with suppress(OutputError):
            self.flush()
        return None if self.error is None or self.error.errno == errno.EPIPE else self.error

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))

    def _call(self, write: Callable[[], object]) -> None:
        if self.error is None:
            try:
                write()
            except OSError as error:
                self.error = error
        if self.error is not None and self._is_result:
            raise OutputError(self.error.strerror) from self.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def tolerating_lost_output() -> Iterator[None]:
    """Let whatever runs inside print, whether or not standard output and standard error still take it."""
    with redirect_stdout(_tolerant(sys.stdout)), redirect_stderr(_tolerant(sys.stderr)):
        yield


def _tolerant(stream: Any) -> Any:
    return stream if stream is None or isinstance(stream, TolerantStream) else TolerantStream(stream)


@contextmanager
def streams_of_command(*, prints_result: bool) -> Iterator[TolerantStream]:
    """Replace the standard streams while a command runs; yield standard output.

    Args:
        prints_result: whether the command is over once nobody takes its standard output.
    """
    _open_closed()
    out, err = TolerantStream(sys.stdout, is_result=prints_result), TolerantStream(sys.stderr)
    streams: Any = out, err
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            yield out
    finally:
        for stream in (out, err):
            if stream.error is not None:
                _discard_rest(stream)


def _discard_rest(stream: TolerantStream) -> None:
    """Send to nowhere what is buffered, or Python would fail on it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # a stream in memory has no descriptor
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _open_closed() -> None:
    """Open closed standard streams on nothing: else a file of the run gets their number, and what is printed."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115, for the life of the process
