"""The run folder: nobody else's, and nothing half-written in it."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.records.reader import read_checked_manifest
from copycat.records.run_folder import make_folder, read_manifest, remove_empty_folders, write_manifest

RUNS = 1000
write_nothing = os.listdir  # a function that other processes can import


@pytest.mark.parametrize(
    "pool",
    [partial(ThreadPoolExecutor, 32), partial(ProcessPoolExecutor, 4, multiprocessing.get_context("spawn"))],
    ids=["threads", "processes"],
)
def test_a_thousand_runs_of_the_same_second_get_a_thousand_folders(
    pool: Callable[[], Executor], tmp_path: Path
) -> None:
    with pool() as workers:
        made = list(workers.map(partial(make_folder, tmp_path, write=write_nothing), ["lecture"] * RUNS, chunksize=50))
    assert len(set(made)) == RUNS
    assert all(folder.is_dir() for folder in made)


def test_a_taken_name_is_not_shared_but_another_one_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaaaa", "aaaaaa", "bbbbbb", "aaaaaa", "cccccc"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    folders = [make_folder(tmp_path, "x", write=write_nothing) for _ in range(2)]
    assert folders[0] != folders[1]


def test_a_folder_that_nothing_came_of_leaves_no_trace(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    remove_empty_folders(make_folder(root, "lecture", write=write_nothing), root)
    assert list(tmp_path.iterdir()) == []


def test_the_runs_beside_it_stay(tmp_path: Path) -> None:
    kept, gone = (make_folder(tmp_path, "lecture", write=write_nothing) for _ in range(2))
    remove_empty_folders(gone, tmp_path)
    assert kept.is_dir()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_whole(file, b"old")
    with pytest.raises(TypeError):
        write_whole(file, "new")  # type: ignore[arg-type]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_manifest_reads_back(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"status": "completed", "seconds": 1.5})
    assert read_manifest(tmp_path) == {"schema": 3, "status": "completed", "seconds": 1.5, "signature": None}


def test_a_manifest_of_the_first_schema_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1}')
    assert read_manifest(tmp_path) == {"schema": 1}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("99", "expected schema 1 or 2 or 3; got 99, of a newer Copycat. Update Copycat."),
        ("null", "expected schema 1 or 2 or 3; got None. Restore it from a copy, or train the run again."),
    ],
)
def test_another_schema_is_named_with_what_to_do(schema: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(f'{{"schema": {schema}}}')
    with pytest.raises(UserError) as error:
        read_checked_manifest(tmp_path)
    assert str(error.value) == f"{tmp_path / 'run.json'}: expected a run's manifest; {problem}"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 99}', '{"schema": 1', '{"schema": 2, "seconds": NaN}', "[" * 99999]
)
def test_a_manifest_of_another_kind_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"\S"):
        read_manifest(tmp_path)


def test_a_folder_has_its_name_only_with_its_first_files(tmp_path: Path) -> None:
    def write(at: Path) -> None:
        assert [path.name for path in at.parent.iterdir() if not path.name.startswith(".")] == []
        (at / "run.json").write_text("{}")

    folder = make_folder(tmp_path, "lecture", write=write)
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_whose_first_files_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    def write(at: Path) -> None:
        (at / "config.yaml").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device"):
        make_folder(tmp_path / "outputs", "lecture", write=write)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_removed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "lecture", write=lambda at: (at / "kept").touch())
    remove_empty_folders(folder, tmp_path)
    assert (folder / "kept").exists()
