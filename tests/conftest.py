"""What every test has: folders of its own for cache and settings, the real data where it is, and a check for leaks."""

import gc
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Two workers share two cores: threads of OpenMP that wait for each other there take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

import copycat  # noqa: F401  before Lightning and torchmetrics, whose imports it shortens
from tests.support.flushes import leave_out_flushes
from tests.support.hydra_speed import shorten_compositions
from tests.support.images import write_image_folder
from tests.support.imports import keep_entry_points
from tests.support.leaks import check_for_leaks
from tests.support.worker_deaths import pytest_testnodedown  # noqa: F401, a hook

settings.register_profile("untimed", parent=settings(), deadline=None)  # a first example may import for a second
settings.load_profile("untimed")
keep_entry_points()
shorten_compositions()
leave_out_flushes()

# a shell that runs pytest in the background has it ignore Ctrl-C, and every command that a test starts with it
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    gc.disable()  # imports of the collection leave next to no garbage, and looking for it takes a third of their time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the command that runs each failed test again, alone."""
    reports = [report for kind in ("failed", "error") for report in terminalreporter.getreports(kind)]
    if not reports or hasattr(config, "workerinput"):
        return
    seed = getattr(config.option, "randomly_seed", None)
    terminalreporter.section("to run again, alone")
    for name in dict.fromkeys(report.nodeid for report in reports):
        command = [
            os.path.relpath(sys.executable),
            "-m",
            "pytest",
            name,
            *([f"--randomly-seed={seed}"] if seed else []),
        ]
        terminalreporter.write_line(shlex.join(command))


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """A test fails that leaves a process, a thread or a changed setting behind; the process is killed."""
    with check_for_leaks():
        yield


@pytest.fixture(scope="session", autouse=True)
def copycat_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or leaves anything in the user's cache; what one draws, the others find drawn."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as session:
        session.setenv("COPYCAT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def copycat_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or leaves anything among the user's settings; a run that one makes is the whole session's own."""
    folder = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as session:
        session.setenv("COPYCAT_SETTINGS", str(folder))
        yield folder


@pytest.fixture(scope="session")
def cats_folder() -> Path:
    """The folder of the real cat data."""
    if not (named := os.environ.get("COPYCAT_DATA")):
        pytest.skip("set COPYCAT_DATA to the folder of the real cat data")
    folder = Path(named).absolute()
    missing = [name for name in ("train_catvnoncat.h5", "test_catvnoncat.h5") if not (folder / name).is_file()]
    if missing:
        pytest.fail(f"COPYCAT_DATA={named} has no {' and no '.join(missing)}")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8×8 images, dark dogs and bright cats: 16 to train on, 8 to validate on."""
    classes, parts = {"dog": 0, "cat": 60}, {"train": 8, "val": 4}
    return write_image_folder(tmp_path_factory.mktemp("tiny"), classes=classes, parts=parts, levels=180)


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8×8 images of three classes, six of each."""
    classes = {"crow": 0, "duck": 60, "owl": 120}
    return write_image_folder(tmp_path_factory.mktemp("birds"), classes=classes, parts={"": 6}, levels=120)
