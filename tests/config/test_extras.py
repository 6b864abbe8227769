"""Extras: where a package is missing, the message names what to install."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import copycat
from copycat.config.extras import DISTRIBUTION


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
    root = Path(__file__).parents[2]
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
    assert found.stderr.splitlines()[-1] == f"{what} Type pip install 'copycat-ml[samplers]'."
    assert not (tmp_path / "outputs").exists()
