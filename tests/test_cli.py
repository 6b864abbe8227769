"""The command line itself: help, version, statuses, and what is not imported for them."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import copycat
from copycat import __version__
from copycat.cli import main
from copycat.config.extras import DISTRIBUTION

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


def test_an_unknown_command_imports_nothing_heavy_either() -> None:
    answer = subprocess.run([sys.executable, "-c", IMPORTED, "trian"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stderr.splitlines()[-1]) == [2, []]


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


def test_the_help_of_train_names_every_group_and_how_to_type(tmp_path: Path) -> None:
    answer = run_script("train", "--help", at=tmp_path)
    assert answer.returncode == 0
    for group in (
        "activation",
        "augmentation",
        "callbacks",
        "data",
        "experiment",
        "logger",
        "loss",
        "model",
        "optimizer",
        "scheduler",
    ):
        assert f"\n{group}: " in answer.stdout
    assert "copycat train model=deep optimizer=adam optimizer.lr=1e-3" in answer.stdout
    assert os.listdir(tmp_path) == []


def test_every_key_that_the_help_of_train_shows_is_there(tmp_path: Path) -> None:
    page = run_script("train", "--help", at=tmp_path).stdout
    shown = page.partition("Keys that are typed most")[2].partition("Flags:")[0]
    words = [word for word in shown.split() if "=" in word]
    assert len(words) > 10
    answer = run_script("train", "model=shallow", "data=folder", "--cfg", "job", *words, at=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_configuration_is_printed_as_it_was_asked_for(tmp_path: Path) -> None:
    answer = run_script("train", "optimizer=adam", "--cfg", "job", "optimizer.lr=0.25", at=tmp_path)
    assert "lr: 0.25" in answer.stdout
    assert answer.stderr == ""
    assert os.listdir(tmp_path) == []


def test_help_of_inspect_is_told_without_composing(tmp_path: Path) -> None:
    answer = run_script("inspect", "--help", at=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: copycat inspect")


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that has what is installed here, but for what extras bring."""
    folder = tmp_path_factory.mktemp("lean")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.lower().startswith(("scipy", "matplotlib", "mpl_toolkits")):
            (folder / path.name).symlink_to(path)
    source = Path(copycat.__file__).parent.parent
    return {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{folder}"}


def ran_lean(*words: str, at: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    python = [str(getattr(sys, "_base_executable", sys.executable)), "-S", "-m", "copycat"]
    return subprocess.run([*python, *words], capture_output=True, text=True, cwd=at, env=environment)


def test_no_text_names_the_stranger_s_package_that_is_called_copycat() -> None:
    root = Path(__file__).parents[1]
    files = [root / name for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml", "Makefile", "constraints.txt")]
    for folder in ("src", "conf", "docs", "experiments", "benchmarks"):
        files += [file for file in (root / folder).rglob("*") if file.suffix in (".py", ".yaml", ".md", ".html")]
    named = re.compile(r"copycat\[|pip3? install [^|`\n]*\bcopycat(?![-\w])|^copycat==", re.MULTILINE)
    assert [str(file) for file in files if named.search(file.read_text())] == []
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"] == DISTRIBUTION


@pytest.mark.slow
def test_what_an_extra_brings_is_asked_for_by_those_who_need_it_alone(lean: dict[str, str], tmp_path: Path) -> None:
    found = ran_lean("train", "trainer.max_epochs=2", at=tmp_path, environment=lean)
    assert found.returncode == 0, found.stderr
    found = ran_lean("report", str(next(tmp_path.glob("outputs/*/*/*"))), at=tmp_path, environment=lean)
    assert (found.returncode, found.stdout) == (2, "")
    expected = (
        "copycat: this command: expected matplotlib; it is not installed. Type pip install 'copycat-ml[plots]'.\n"
    )
    assert found.stderr == expected


@pytest.mark.slow
def test_a_sampler_that_an_extra_brings_is_asked_for_before_its_sweep(lean: dict[str, str], tmp_path: Path) -> None:
    words = ("hydra/sweeper=optuna", "hydra/sweeper/sampler=gp", "optimizer.lr=interval(0.1,1)")
    found = ran_lean("train", "-m", *words, at=tmp_path, environment=lean)
    assert found.returncode == 2
    what = "copycat: hydra/sweeper/sampler: expected scipy; it is not installed."
    assert found.stderr == f"{what} Type pip install 'copycat-ml[samplers]'.\n"
    assert not (tmp_path / "outputs").exists()
