"""One thread at a time, and no process waits for a thread that it does not have."""

import os
from threading import Event, Thread

import pytest

from copycat.config.process_lock import process_lock


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_is_forked_while_another_thread_is_inside_does_not_wait() -> None:
    is_inside, may_leave = Event(), Event()

    def stay() -> None:
        with process_lock():
            is_inside.set()
            may_leave.wait()

    thread = Thread(target=stay)
    thread.start()
    is_inside.wait()
    try:
        child = os.fork()
        if child == 0:
            from signal import alarm

            alarm(5)  # ends a child that waits
            with process_lock():
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        may_leave.set()
        thread.join()
