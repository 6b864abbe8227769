"""Keep the stack on which signals are handled, which a library may replace and later unmap."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class SignalStack(ctypes.Structure):
    """Hold `stack_t` of sigaltstack(2) on Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Restore the alternate signal stack of this thread.

    OpenVINO sets one of its own with its processor plugin, and unmaps it where that is released, which may be in
    another thread or after another such plugin: the next signal of the thread, even that of a child's end, would then
    end the process by SIGSEGV. OpenVINO leaves a stack that was restored alone.
    """
    before = read_signal_stack()
    try:
        yield
    finally:
        if before is not None and (after := read_signal_stack()) is not None and after.address != before.address:
            ctypes.CDLL(None).sigaltstack(ctypes.byref(before), None)


def read_signal_stack() -> SignalStack | None:
    """Return the alternate signal stack of this thread; None on other systems than Linux."""
    if sys.platform != "linux":
        return None
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack
