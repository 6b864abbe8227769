"""Write files in the background, in the order of submission."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Disk:
    """Write files in one background thread: flushing a checkpoint takes longer than a hundred steps.

    An error is raised by the next call. Jobs after a failed one are skipped, since they may rely on it.
    """

    def __init__(self) -> None:
        """Start without a thread: the first job starts one."""
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[Future[object]] = []
        self._failed = self._waits = False

    def later(self, job: Callable[[], object]) -> None:
        """Run a job after all jobs submitted before it.

        Raises:
            OSError: where an earlier job failed.
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
        """Wait until all jobs are done.

        Raises:
            OSError: where one failed.
        """
        waiting, self._waiting = self._waiting, []
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()
        self._failed = False
        for job in waiting:
            job.result()

    def wait_from_now_on(self) -> None:
        """Wait, and run each further job within its call: for a thread that has nothing else to do.

        Raises:
            OSError: where an earlier job failed.
        """
        self._waits = True
        self.settle()


BEHIND = 8
"""Maximum number of waiting jobs: each holds a checkpoint in memory."""
