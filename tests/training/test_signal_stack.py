"""A library that replaces the stack of signals, and unmaps it, ends no process."""

import ctypes
import faulthandler
import mmap
import sys

import pytest

from copycat.training.signal_stack import SignalStack, kept_signal_stack, read_signal_stack

SIZE = 2**16


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sigaltstack by this name and layout")
def test_the_stack_of_a_library_is_not_used_afterwards() -> None:
    if not faulthandler.is_enabled():
        faulthandler.enable()
    before = read_signal_stack()
    assert before is not None
    memory = mmap.mmap(-1, SIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with kept_signal_stack():
        stack = SignalStack(address, 0, SIZE)
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
        during = read_signal_stack()
        assert during is not None
        assert during.address == address
    after = read_signal_stack()
    assert after is not None
    assert after.address == before.address
