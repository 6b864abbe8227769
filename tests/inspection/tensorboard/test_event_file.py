"""Event files written many records at once, read back by TensorBoard's own readers."""

import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from copycat.inspection.tensorboard.event_file import EventFile
from tests.support.tensorboard import load_events

FLOATS = st.floats(width=32, allow_nan=False)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tags=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True),
    first=st.integers(0, 2**33),
    table=st.lists(FLOATS, min_size=1, max_size=30),
)
def test_tensorboard_reads_every_value_to_the_bit(
    tags: list[str], first: int, table: list[float], tmp_path: Path
) -> None:
    values = np.array([[value] * len(tags) for value in table], dtype=np.float32)
    steps = [first + place for place in range(len(table))]
    file = EventFile(folder := tmp_path / f"{len(list(tmp_path.iterdir()))}")
    half = len(table) // 2
    for part in (slice(0, half), slice(half, None)):
        if steps[part]:
            file.add(tags, values[part], steps=steps[part], times=np.array(steps[part], dtype=np.float64) / 8)
    file.close()
    (path,) = folder.iterdir()
    reader = PyRecordReader_New(str(path))  # checks the checksums, and raises where one is wrong
    for _ in range(len(table) + 1):  # with the version at the front
        reader.GetNext()
    with pytest.raises(OutOfRangeError):
        reader.GetNext()
    board = load_events(folder)
    assert board.Tags()["scalars"] == tags
    for tag in tags:
        assert [(event.step, np.float32(event.value).tobytes()) for event in board.Scalars(tag)] == [
            (step, value.tobytes()) for step, value in zip(steps, values[:, 0], strict=True)
        ]
        assert [event.wall_time for event in board.Scalars(tag)] == [step / 8 for step in steps]


def test_a_full_disk_leaves_no_part_of_a_record(tmp_path: Path) -> None:
    file, values = EventFile(tmp_path / "events"), np.ones((3, 1), dtype=np.float32)
    (path,) = (tmp_path / "events").iterdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 70, limits[1]))  # room for one record and a part
    try:
        with pytest.raises(OSError, match="File too large"):
            file.add(["loss"], values, steps=[0, 1, 2], times=np.ones(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.add(["loss"], values, steps=[0, 1, 2], times=np.ones(3))
    file.close()
    assert [event.step for event in load_events(tmp_path / "events").Scalars("loss")] == [0, 1, 2]
