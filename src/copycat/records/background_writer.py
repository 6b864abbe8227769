"""Writing that a run does not wait for, in the order in which it was asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Disk:
    """One thread that writes; a disk takes longer to say that it has a checkpoint than a hundred steps take.

    What could not be written is raised where the next thing is handed over, or at the end; what was to come after it is
    not done, since it may rely on it.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[Future[object]] = []
        self._failed = self._waits = False

    def later(self, job: Callable[[], object]) -> None:
        """Do this once all that was handed over before is done.

        Raises:
            OSError: of an earlier job.
        """
        if self._waits:
            job()
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        while len(self._waiting) > BEHIND or (self._waiting and self._waiting[0].done()):
            self._waiting.pop(0).result()
        self._waiting.append(self._thread.submit(self._do, job))

    def _do(self, job: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            job()
        except BaseException:
            self._failed = True
            raise

    def settle(self) -> None:
        """Wait until all is written.

        Raises:
            OSError: of an earlier job.
        """
        waiting, self._waiting = self._waiting, []
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()
        self._failed = False
        for job in waiting:
            job.result()

    def wait_from_now_on(self) -> None:
        """For a thread that has nothing else to do: from now on, jobs are done as they are handed over.

        Raises:
            OSError: of an earlier job.
        """
        self._waits = True
        self.settle()


BEHIND = 8
"""Jobs that may wait: a checkpoint is in memory until it is written."""
