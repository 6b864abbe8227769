"""Two hundred files of all kinds: none stops a command, and each has its line."""

import json
from pathlib import Path

import pytest

from tests.support.app import list_runs, post_image, serve_app
from tests.support.commands import run_copycat
from tests.support.malformed_images import FILE_COUNT, write_malformed_images
from tests.support.runs import QUIET, train_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_malformed_images(tmp_path_factory.mktemp("files") / "cat")


def test_each_is_predicted_or_named(folder: Path, files: list[Path], tmp_path: Path) -> None:
    done = run_copycat("predict", folder, *files, "--json", at=tmp_path)
    assert done.returncode == 1
    rows = [row["file"] for row in json.loads(done.stdout)["predictions"]]
    _, *lines = done.stderr.splitlines()  # after the line of progress
    assert lines[-1] == f"copycat: {len(lines) - 1} of {FILE_COUNT} files can't be read."
    named = [line.removeprefix("copycat: ").partition(": ")[0] for line in lines[:-1]]
    assert sorted([*rows, *named]) == sorted(map(str, files))
    assert len(rows) > 40
    assert len(named) > 40
    assert "Traceback" not in done.stderr


def test_a_set_of_them_is_read_but_for_the_broken_ones(files: list[Path], tiny: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "cat").symlink_to(files[0].parent)
    (root / "dog").symlink_to(tiny / "train" / "dog")
    words = ("data=folder", f"data.root={root}", "data.image_size=8", "trainer.max_epochs=1", "logger=none")
    stopped = run_copycat("train", *words, at=tmp_path)
    assert stopped.returncode == 2
    assert "can't be read, first" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    done = run_copycat("train", *words, "data.on_unreadable=skip", at=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_page_answers_each(folder: Path, files: list[Path]) -> None:
    with serve_app(folder) as address:
        (name,) = list_runs(address)
        found: dict[int, int] = {}
        refused: list[str] = []
        for file in files:
            status, answer = post_image(address, file.read_bytes(), name=name)
            if status == 200:
                assert answer["class"] in ("cat", "dog")
            else:
                refused.append(str(answer["error"]))
            found[status] = found.get(status, 0) + 1
    assert found.keys() == {200, 422}
    assert sum(found.values()) == FILE_COUNT
    assert all(refused)
