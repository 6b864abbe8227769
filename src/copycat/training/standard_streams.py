"""Keep runs going when standard output or standard error fails, such as by a closed pipe or a full disk."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO

from copycat.config.worlds import find_place

LATER_SECONDS = 2
"""Time that other ranks wait with their end in failure for the first rank's."""


class OutputError(Exception):
    """Report that standard output fails, for a command whose result is its output."""


class TolerantStream:
    """Wrap a text stream; keep its first error, and drop the text from there on.

    A lost write of a command's result raises OutputError.
    """

    def __init__(self, stream: TextIO, *, is_result: bool = False) -> None:
        """Wrap a stream that has not failed yet."""
        self._stream, self._is_result = stream, is_result
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or drop it after an error."""
        self._call(lambda: self._write(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write lines one by one."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream, unless it has failed."""
        self._call(self._stream.flush)

    def close(self) -> None:
        """Flush alone: handlers of logging that were made while a run printed would close a notebook's stream."""
        self.flush()

    def find_loss(self) -> OSError | None:
        """Flush, and return the error that lost text; None where none did, or the reader closed the pipe."""
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
        """Return the stream's attribute."""
        return getattr(self._stream, name)


@contextmanager
def tolerating_lost_output() -> Iterator[None]:
    """Let code inside print, whether or not the standard streams still take it."""
    with redirect_stdout(_tolerant(sys.stdout)), redirect_stderr(_tolerant(sys.stderr)):
        yield


def _tolerant(stream: Any) -> Any:
    return stream if stream is None or isinstance(stream, TolerantStream) else TolerantStream(stream)


@contextmanager
def streams_of_command(*, prints_result: bool) -> Iterator[TolerantStream]:
    """Replace the standard streams while a command runs; yield standard output.

    A command that prints its result ends once nobody reads it.
    """
    _open_closed()
    out: Any = TolerantStream(sys.stdout, is_result=prints_result)
    err: Any = TolerantStream(sys.stderr)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield out
    finally:
        for stream in (out, err):
            if stream.error is not None:
                _discard_rest(stream)


@contextmanager
def printing_on_first_rank() -> Iterator[None]:
    """Drop what is printed inside on all ranks but the first, and end these after it.

    A launcher ends all ranks as soon as one ends in failure: the first must have printed why by then.
    """
    place = find_place()
    if place is None or place.rank == 0:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except SystemExit as end:
            if end.code:
                time.sleep(LATER_SECONDS)
            raise


def _discard_rest(stream: TolerantStream) -> None:
    """Redirect the buffered rest to nowhere, on which Python would fail at its exit."""
    with open(os.devnull, "wb") as nowhere, suppress(OSError):  # a stream in memory has no descriptor
        os.dup2(nowhere.fileno(), stream.fileno())


def _open_closed() -> None:
    """Open closed standard streams on nothing; otherwise a run's file gets their number, and the printed text."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
            os.set_inheritable(opened, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115, for the life of the process
