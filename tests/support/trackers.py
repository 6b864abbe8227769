"""A tracker of a user's own, which writes to memory and may be out of reach."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from copycat.inspection.trackers.tracker import Row, TrackedRun, Tracker


class MemoryTracker(Tracker):
    """Keep what was sent, by run; while `fails` it cannot be reached."""

    name = "memory"
    fails: ClassVar[tuple[int, ...]] = ()
    """Numbers of the calls that fail, from 0 on."""
    calls: ClassVar[int] = 0
    runs: ClassVar[dict[str, TrackedRun]] = {}
    rows: ClassVar[dict[str, list[Row]]] = {}
    files: ClassVar[dict[str, set[str]]] = {}
    images: ClassVar[dict[str, set[str]]] = {}
    ends: ClassVar[dict[str, tuple[str, Mapping[str, float]]]] = {}

    @classmethod
    def reset(cls, *, fails: Sequence[int] = ()) -> None:
        cls.fails, cls.calls = tuple(fails), 0
        for kept in (cls.runs, cls.rows, cls.files, cls.images, cls.ends):
            kept.clear()

    def _call(self) -> str:
        number = MemoryTracker.calls
        MemoryTracker.calls += 1
        if number in self.fails:
            raise ConnectionError("no route to host")
        return str(self.run_id)

    def connect(self, run: TrackedRun) -> str:
        self._call()
        run_id = run.run_id or run.name
        self.runs[run_id] = run
        self.rows.setdefault(run_id, [])
        return run_id

    def send(self, rows: Sequence[Row]) -> None:
        self.rows[self._call()] += rows

    def send_image(self, tag: str, content: bytes, step: int) -> None:
        self.images.setdefault(self._call(), set()).add(tag)

    def send_file(self, path: Path) -> None:
        self.files.setdefault(self._call(), set()).add(path.name)

    def finish(self, status: str, final: Mapping[str, float], *, step: int) -> None:
        self.ends[self._call()] = status, dict(final)
