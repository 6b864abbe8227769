"""What was remembered of run folders is never believed over them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copycat.records.lock import locked
from copycat.tables import index
from copycat.tables.index import read_records, read_rows
from copycat.tables.run_reader import RunRecord, read_record
from copycat.tables.run_row import BEST, FINAL, RunRow, make_row
from tests.support.run_folders import write_run
from tests.support.sweep_folders import write_trial_folder

OBJECTIVES = ["val/loss"]
Change = tuple[str, int, int]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["run", "trial", "remove", "move", "damage", "in place"]), st.integers(0, 5), st.integers(0, 9)
    ),
    max_size=6,
)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An index of however few runs, of files that were written just now; the folder where it lies."""
    monkeypatch.setattr(index, "MIN_FOLDERS", 1)
    monkeypatch.setattr(index, "SETTLED_SECONDS", -3600.0)
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "runs"


def _read_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    with monkeypatch.context() as patch:
        patch.setenv("COPYCAT_CACHE", str(root / "no" / "cache"))
        patch.setattr(index, "MIN_FOLDERS", 10**9)
        return read_records(root)


def _read_rows_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunRow]:
    return [make_row(record, root, objectives=OBJECTIVES) for record in _read_anew(root, monkeypatch)]


def _without_metrics(row: RunRow) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in row.items() if not name.startswith((FINAL, BEST))]


def _apply(root: Path, change: Change, clock: list[int]) -> None:
    kind, place, value = change
    folder = root / "day" / str(place)
    if kind == "run":
        write_run(folder, final={"val/loss": value / 10})
    elif kind == "trial":
        write_trial_folder(root / "day", place, {"seed": value}, status="completed", val_loss=value / 10)
    elif not folder.exists():
        return
    elif kind == "remove":
        shutil.rmtree(folder)
    elif kind == "move":
        shutil.rmtree(root / "day" / f"{value}-moved", ignore_errors=True)
        folder.rename(root / "day" / f"{value}-moved")
    elif kind == "damage":
        next(folder.glob("*.json")).write_text("{" * value)
    else:  # as many bytes as before
        for file in folder.glob("run.json"):
            file.write_text(file.read_text().replace('"epochs": 3', f'"epochs": {value}'))
    for file in root.glob("day/*/*.json"):  # a clock of coarse steps gives two changes the same time
        clock[0] += 1
        if file.parent == folder:
            os.utime(file, ns=(clock[0], clock[0]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rounds=st.lists(CHANGES, min_size=1, max_size=4))
def test_after_any_changes_it_says_what_a_fresh_look_says(
    rounds: list[list[Change]], eager: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, clock = tmp_path_factory.mktemp("runs"), [10**18]
    for changes in rounds:
        for change in changes:
            _apply(root, change, clock)
        assert read_records(root) == _read_anew(root, monkeypatch)
    assert read_records(root) == _read_anew(root, monkeypatch)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rounds=st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=4))
def test_after_any_changes_the_rows_are_those_of_a_fresh_look(
    rounds: list[tuple[list[Change], bool]],
    eager: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, clock = tmp_path_factory.mktemp("runs"), [10**18]
    for changes, only_needed in [*rounds, ([], True), ([], False)]:
        for change in changes:
            _apply(root, change, clock)
        expected = _read_rows_anew(root, monkeypatch)
        if only_needed:
            rows = read_rows(root, objectives=OBJECTIVES, metrics=["final/val/loss"])
            assert [*map(_without_metrics, rows)] == [*map(_without_metrics, expected)]
            assert [row.get("final/val/loss") for row in rows] == [row.get("final/val/loss") for row in expected]
        else:
            rows = read_rows(root, objectives=OBJECTIVES)
            assert [[*row.items()] for row in rows] == [[*row.items()] for row in expected]


def test_a_cached_run_is_running_only_while_a_process_has_its_lock(eager: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_run(root / "run", status="running", overrides=["trial=3"])
    write_trial_folder(root, 1, {"seed": 1}, status="running")
    for _ in range(2):
        assert [row["status"] for row in read_rows(root)] == ["killed", "killed"]
        with locked(root / "run"):
            assert [row["status"] for row in read_rows(root)] == ["killed", "running"]
        with locked(root):  # of the sweep, which may be between two trials; not of the run beside them
            assert [row["status"] for row in read_rows(root)] == ["running", "killed"]


def test_rows_are_cached_by_folder_and_objectives(eager: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_trial_folder(tmp_path / name, 0, {"seed": name}, status="completed", val_loss=0.5)
    for _ in range(2):
        for name in ("a", "b"):
            (row,) = read_rows(tmp_path / name)
            (more,) = read_rows(tmp_path / name, objectives=OBJECTIVES)
            assert (row["seed"], row["folder"], "val/loss" in row) == (name, str(tmp_path / name / "0"), False)
            assert more["val/loss"] == 0.5


def test_an_index_of_other_content_is_not_believed(eager: Path, tmp_path: Path) -> None:
    write_trial_folder(tmp_path / "sweep", 0, {"seed": 1}, status="completed", val_loss=0.5)
    read_rows(tmp_path / "sweep")
    (plain,) = eager.iterdir()
    read_rows(tmp_path / "sweep", objectives=OBJECTIVES)
    (other,) = {*eager.iterdir()} - {plain}
    plain.write_bytes(other.read_bytes())
    (row,) = read_rows(tmp_path / "sweep")
    assert "val/loss" not in row


@pytest.mark.parametrize("place", ["", ".", "day"])
def test_a_cached_row_names_its_folder_as_the_root_was_typed(
    place: str, eager: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "runs" / "day" / "a b")
    monkeypatch.chdir(tmp_path / "runs")
    root = Path(place) if place else tmp_path / "runs" / "day" / "a b"
    for _ in range(2):
        assert [(row["run"], row["folder"]) for row in read_rows(root)] == [
            (row["run"], row["folder"]) for row in (make_row(record, root) for record in _read_anew(root, monkeypatch))
        ]


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose files are read from here on."""
    seen: list[Path] = []

    def counted(folder: Path) -> RunRecord:
        seen.append(folder)
        return read_record(folder)

    monkeypatch.setattr("copycat.tables.index.read_record", counted)
    return seen


def test_only_what_changed_is_read_again(eager: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write_run(tmp_path / "runs" / str(number))
    read_records(tmp_path / "runs")
    seen = _reads(monkeypatch)
    write_run(tmp_path / "runs" / "3", status="failed")
    assert [row.status for row in read_records(tmp_path / "runs")] == [
        *["completed"] * 3,
        "failed",
        "completed",
    ]
    assert seen == [tmp_path / "runs" / "3"]


def test_a_file_of_the_same_size_and_time_is_seen_to_be_another(eager: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "0", final={"val/loss": 0.25})
    file = tmp_path / "runs" / "0" / "run.json"
    before = file.stat()
    read_records(tmp_path / "runs")
    file.write_text(file.read_text().replace("0.25", "0.75"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_records(tmp_path / "runs")[0].final == {"val/loss": 0.75}


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    return content.replace(b"0.25", b"0.99")


def _emptied(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_cut, _flipped, _emptied])
def test_a_damaged_index_is_made_anew(eager: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_run(tmp_path / "runs" / "0", final={"val/loss": 0.25})
    read_records(tmp_path / "runs")
    (file,) = eager.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert read_records(tmp_path / "runs")[0].final == {"val/loss": 0.25}
    assert file.read_bytes() == whole


def test_where_none_can_be_written_the_runs_are_read_all_the_same(eager: Path, tmp_path: Path) -> None:
    eager.parent.write_text("a file where the cache should be")
    write_run(tmp_path / "runs" / "0")
    assert [len(read_records(tmp_path / "runs")) for _ in range(2)] == [1, 1]


def test_a_file_that_was_written_just_now_is_not_remembered(
    eager: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED_SECONDS", 3600.0)
    write_run(tmp_path / "runs" / "0")
    read_records(tmp_path / "runs")
    seen = _reads(monkeypatch)
    read_records(tmp_path / "runs")
    assert len(seen) == 1


def test_records_of_several_shapes_are_remembered_with_their_bits(
    eager: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    for number in range(4):
        write_run(root / str(number), final={"val/loss": 0.1 * number, **({"val/f1": -0.0} if number % 2 else {})})
        write_trial_folder(root, 4 + number, {"seed": number}, status="completed", val_loss=number)
    first = read_records(root)
    seen = _reads(monkeypatch)
    again = read_records(root)
    assert seen == []
    assert repr(again) == repr(first) == repr(_read_anew(root, monkeypatch))
