"""Write files in the background, in the order of submission."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """Write files in one background thread: flushing a checkpoint takes longer than a hundred steps.

    A job's error, such as an OSError, is raised by the next call of any method. Jobs after a failed one are skipped,
    since they may rely on it.
    """

    def __init__(self) -> None:
        """Start without a thread: the first job starts one."""
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[Future[object]] = []
        self._failed = self._is_synchronous = False

    def submit(self, job: Callable[[], object]) -> None:
        """Run a job after all jobs submitted before it."""
        if self._is_synchronous:
            job()
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        while len(self._waiting) > MAX_WAITING or (self._waiting and self._waiting[0].done()):
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

    def wait(self) -> None:
        """Wait until all jobs are done."""
        waiting, self._waiting = self._waiting, []
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()
        self._failed = False
        for job in waiting:
            job.result()

    def become_synchronous(self) -> None:
        """Wait, and run each further job within its call: for a thread that has nothing else to do."""
        self._is_synchronous = True
        self.wait()


MAX_WAITING = 8
"""Maximum number of waiting jobs: each holds a checkpoint in memory."""
