"""A stranger's run folder runs nothing, writes nothing, hangs nothing, and is refused in one clear line."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import pytest

from copycat.config.errors import UserError
from copycat.inspection.reports.run_page import make_run_page
from copycat.inspection.reports.weight_table import print_weights
from copycat.records.metrics_csv import count_epochs, read_columns, read_history
from copycat.records.reader import check_files
from copycat.records.run_loader import Opened, open_run, read_checkpoint, read_weights
from copycat.sweeps.report import make_report
from copycat.tables.comparison import read_comparison
from tests.support.hostile_checkpoints import CHECKPOINTS, WEIGHTS
from tests.support.hostile_folders import FOLDERS, HostileFolder
from tests.support.hostile_targets import EVIL
from tests.support.run_folders import strip_signature
from tests.support.runs import train_tiny
from tests.support.tampering import Spoil

SECONDS = 20


@pytest.fixture(scope="module")
def real_run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("runs")
    return train_tiny("model=shallow", "trainer.max_epochs=2", data=tiny, at=at).folder


@pytest.fixture
def strangers(real_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of a real run, without its signature, and a current folder in which a hostile module lies."""
    folder = tmp_path / "run"
    shutil.copytree(real_run, folder)
    strip_signature(folder)
    here = tmp_path / "here"
    here.mkdir()
    for place in (here, folder):
        (place / f"{EVIL}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w').close()\nclass Net: ...\n")
    monkeypatch.chdir(here)
    open_run(folder)  # as it is, it passes; and what reading one takes is imported now

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield folder
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def list_paths(root: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder, with size and time of its last change."""
    found = {str(path): path.lstat() for path in root.rglob("*")}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def assert_refused(call: object, root: Path) -> str:
    """The one line of a refusal, given that nothing was run or written by then."""
    modules, before = set(sys.modules), list_paths(root)
    with pytest.raises(UserError) as error:
        call()  # type: ignore[operator]
    line = str(error.value)
    assert list_paths(root) == before
    assert not (root / "canary").exists()
    assert EVIL not in sys.modules
    assert {name for name in set(sys.modules) - modules if not name.startswith(("torch", "encodings."))} == set()
    assert line.isprintable(), line
    assert len(line) < 600, line
    assert line.endswith((".", "?")), line
    return line


@pytest.mark.parametrize("hostile", FOLDERS, ids=lambda hostile: hostile.name)
def test_a_hostile_folder_is_refused_in_one_line_before_anything_runs(
    hostile: HostileFolder, strangers: Path, tmp_path: Path
) -> None:
    hostile.spoil(strangers, tmp_path / "canary")
    line = assert_refused(lambda: open_run(strangers), tmp_path)
    assert str(strangers) in line
    assert hostile.says in line


def test_more_than_forty_hostile_folders_are_tried() -> None:
    assert len({hostile.name for hostile in FOLDERS}) > 150


@pytest.mark.parametrize("spoil", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_by_its_name(spoil: Spoil, strangers: Path, tmp_path: Path) -> None:
    opened = open_run(strangers)
    path = strangers / "checkpoints" / "last.ckpt"
    assert read_checkpoint(path, opened)["state_dict"]
    spoil(strangers, tmp_path / "canary")
    assert str(path) in assert_refused(lambda: read_checkpoint(path, opened), tmp_path)


@pytest.mark.parametrize("spoil", WEIGHTS.values(), ids=WEIGHTS)
def test_hostile_weights_are_refused_by_their_name(spoil: Spoil, strangers: Path, tmp_path: Path) -> None:
    opened = open_run(strangers)
    path = strangers / "weights.safetensors"
    assert read_weights(path, opened)
    spoil(strangers, tmp_path / "canary")
    assert str(path) in assert_refused(lambda: read_weights(path, opened), tmp_path)


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    assert "copycat runs" in assert_refused(lambda: open_run(tmp_path / "none"), tmp_path)


def test_the_files_of_a_folder_of_ones_own_are_no_links_either(real_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Kätzchen"
    shutil.copytree(real_run, folder)
    assert open_run(folder).own
    (folder / "metrics.csv").rename(tmp_path / "outside.csv")
    (folder / "metrics.csv").symlink_to(tmp_path / "outside.csv")
    assert f"{folder}/metrics.csv: expected a plain file" in assert_refused(lambda: open_run(folder), tmp_path)


def test_a_run_folder_may_itself_be_reached_by_a_link(real_run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(real_run)
    opened: Opened = open_run(tmp_path / "link")
    assert opened.own
    assert opened.folder == real_run.resolve()


# ----- commands that only look

FILES = [hostile for hostile in FOLDERS if hostile.name.startswith(("a link", "a hard link", "a pipe"))]
"""Folders from which something would be read, or waited for, that is not in them."""


@pytest.mark.parametrize("hostile", FILES, ids=lambda hostile: hostile.name)
def test_what_is_no_plain_file_is_refused_by_commands_that_only_look(
    hostile: HostileFolder, strangers: Path, real_run: Path, tmp_path: Path
) -> None:
    hostile.spoil(strangers, tmp_path / "canary")
    for look in (
        lambda: make_run_page(strangers),
        lambda: make_report([strangers, real_run]),
        lambda: read_comparison([real_run, strangers]),
        lambda: print_weights(strangers),
    ):
        line = assert_refused(look, tmp_path)
        assert str(strangers) in line
        assert hostile.says in line


def test_the_copy_of_a_folder_with_a_hard_link_can_be_typed(strangers: Path, tmp_path: Path) -> None:
    spaced = strangers.rename(tmp_path / "my run")
    (tmp_path / "outside").hardlink_to(spaced / "metrics.csv")
    assert f"cp -r '{spaced}' FOLDER." in assert_refused(lambda: open_run(spaced), tmp_path)


def test_what_a_link_leads_to_is_not_shown(strangers: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("epoch,val/loss\n0,secret\n")
    (strangers / "metrics.csv").unlink()
    (strangers / "metrics.csv").symlink_to(tmp_path / "outside")
    for look in (lambda: make_run_page(strangers), lambda: open_run(strangers)):
        assert "secret" not in assert_refused(look, tmp_path)


@pytest.mark.parametrize("name", ["metrics.csv", "predictions.csv", "gallery.json", "config.yaml", "run.json"])
def test_a_huge_file_is_not_read(name: str, strangers: Path, real_run: Path, tmp_path: Path) -> None:
    with (strangers / name).open("ab") as file:
        file.truncate(2**28 + 1)  # takes no room on the disk
    looks = [lambda: make_run_page(strangers)]
    looks += [lambda: make_report([strangers, real_run])] if name not in ("predictions.csv", "gallery.json") else []
    for look in looks:
        assert f"has {2**28 + 1} bytes, more than" in assert_refused(look, tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize("read", [read_history, read_columns, count_epochs])
def test_a_history_is_read_from_a_plain_file_alone(
    read: Callable[[Path], object], kind: str, strangers: Path, tmp_path: Path
) -> None:
    path = strangers / "metrics.csv"
    path.rename(tmp_path / "outside.csv")
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(tmp_path / "outside.csv")
    with pytest.raises(ValueError, match=r"it is (no plain file|a link)(\. Restore it .*)?$"):
        read(strangers)


def test_a_file_that_goes_as_a_folder_is_looked_over_is_no_mistake(
    strangers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is under way renames what it writes."""
    scandir = os.scandir

    def scan(path: str) -> "nullcontext[list[os.DirEntry[str]]]":
        (strangers / ".run.json.ab12cd").write_text("")
        listed = list(scandir(path))
        (strangers / ".run.json.ab12cd").unlink(missing_ok=True)
        return nullcontext(listed)

    monkeypatch.setattr(os, "scandir", scan)
    check_files(strangers)
