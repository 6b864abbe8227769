"""The command line itself: help, version, statuses, and what is not imported for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copycat import __version__
from copycat.cli import main
from copycat.cli.arguments import COMMANDS

HEAVY = ("torch", "pytorch_lightning", "lightning", "hydra", "omegaconf", "torchmetrics", "numpy")
IMPORTED = f"""
import json, sys
from copycat.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps([end.code, sorted(set({HEAVY!r}) & sys.modules.keys())]), file=sys.stderr)
"""
SCRIPT = Path(sys.executable).parent / "copycat"


def run_script(*words: str, at: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, cwd=at)


@pytest.mark.parametrize("words", [["--help"], ["-h"], [], ["--version"], ["data", "--help"], ["board", "--help"]])
def test_an_answer_that_needs_nothing_heavy_imports_nothing_heavy(words: list[str]) -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True)
    assert json.loads(answer.stderr) == [0, []]
    assert answer.stdout


SPIN_COUNT = """
import atexit, os, sys
from copycat.cli import command
atexit.register(lambda: print(os.environ.get("GOMP_SPINCOUNT"), file=sys.stderr))
command()
"""


@pytest.mark.parametrize(
    ("variables", "spins"), [({}, "5000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_idle_threads_leave_the_processors_to_other_runs_unless_the_user_decides(
    variables: dict[str, str], spins: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "OMP"))}
    words = [sys.executable, "-c", SPIN_COUNT, "--version"]
    assert subprocess.run(words, capture_output=True, text=True, env=environment | variables).stderr == f"{spins}\n"


def test_an_unknown_command_imports_nothing_heavy_either() -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTED, "trian"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stderr.splitlines()[-1]) == [2, []]


FILES = f"""
import sys
from importlib import import_module
for name in {list(COMMANDS)!r}:
    assert callable(import_module(f"copycat.cli.{{name}}").run)
print(set({HEAVY!r}) & sys.modules.keys())
"""


def test_every_command_has_a_file_and_none_imports_anything_heavy_at_its_top() -> None:
    answer = subprocess.run([sys.executable, "-c", FILES], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train"])  # Hydra writes its help
def test_the_help_of_a_command_begins_with_its_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: copycat {command} ")


def test_help_names_every_command(tmp_path: Path) -> None:
    answer = run_script("--help", at=tmp_path)
    assert answer.returncode == 0
    assert answer.stderr == ""
    for command in ("train", "inspect", "data", "runs", "board"):
        assert f"\n    {command} " in answer.stdout


def test_no_words_at_all_give_the_help(tmp_path: Path) -> None:
    assert run_script(at=tmp_path).stdout == run_script("--help", at=tmp_path).stdout


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"copycat {__version__}\n"


def test_python_m_copycat_is_the_command(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "copycat", "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert answer.stdout == run_script("--version", at=tmp_path).stdout


AT_ITS_END = """
import atexit, sys, threading, time
from copycat.cli import command
atexit.register(print, "what a package does at the end")
if sys.argv[1] == "thread":
    threading.Thread(target=lambda: (time.sleep(0.2), print("what a thread does"))).start()
sys.argv[1:] = sys.argv[2:]
command()
"""


@pytest.mark.parametrize("thread", ["thread", "none"])
def test_what_others_do_at_the_end_of_a_command_is_waited_for(thread: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", AT_ITS_END, thread, "--version"], capture_output=True, text=True, check=True
    )
    said = ["what a thread does"] if thread == "thread" else []
    assert answer.stdout.splitlines() == [f"copycat {__version__}", *said, "what a package does at the end"]


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["trian"], 2)])
def test_a_command_ends_with_its_status(words: list[str], status: int) -> None:
    answer = subprocess.run([sys.executable, "-c", AT_ITS_END, "none", *words], capture_output=True, check=False)
    assert answer.returncode == status


def test_an_answer_that_cannot_be_written_is_not_taken_for_written() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "copycat", "train", "--cfg", "job"]
    with open("/dev/full", "w") as full:
        answer = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=buffered, check=False)
    assert answer.returncode != 0
    assert b"No space left" in answer.stderr


@pytest.mark.parametrize(("words", "closed", "status"), [("--version", ">&-", 0), ("trian", "2>&-", 2)])
def test_a_command_that_nobody_listens_to_ends_with_its_status(
    words: str, closed: str, status: int, tmp_path: Path
) -> None:
    answer = subprocess.run(["sh", "-c", f'"$0" {words} {closed}', SCRIPT], capture_output=True, cwd=tmp_path)
    assert answer.returncode == status
    assert b"Traceback" not in answer.stdout + answer.stderr


def test_a_mistake_is_one_line_and_debug_shows_where_it_came_from(tmp_path: Path) -> None:
    plain, debugged = (
        run_script("train", "seed=-1", at=tmp_path),
        run_script("train", "seed=-1", "--debug", at=tmp_path),
    )
    assert plain.returncode == debugged.returncode == 2
    assert plain.stderr.count("\n") == 1
    assert "Traceback" in debugged.stderr
    assert debugged.stderr.endswith(plain.stderr)
    assert os.listdir(tmp_path) == []
