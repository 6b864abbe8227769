"""Event files of a stopped run, of which a resume keeps the records before its checkpoint."""

from pathlib import Path

import numpy as np

from copycat.inspection.tensorboard.event_file import EventFile
from copycat.inspection.tensorboard.purge import purge
from tests.support.tensorboard import load_events


def test_records_before_a_damaged_one_are_kept(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events")
    file.add(["loss"], np.ones((6, 1), dtype=np.float32), steps=range(6), times=np.ones(6))
    file.close()
    (path,) = (tmp_path / "events").iterdir()
    content = path.read_bytes()
    place = len(content) * 3 // 4
    path.write_bytes(content[:place] + content[place + 9 :])  # as a disk that was full for a moment leaves it
    purge(tmp_path / "events", 6)
    assert [event.step for event in load_events(tmp_path / "events").Scalars("loss")] == [0, 1, 2, 3]
