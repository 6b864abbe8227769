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

LEFT_OUT = ("scipy", "matplotlib", "mpl_toolkits", "h5py", "pooch", "cmaes", "submitit")


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that has what is installed here, but for what extras bring."""
    folder = tmp_path_factory.mktemp("lean")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.lower().startswith(LEFT_OUT):
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
@pytest.mark.parametrize(
    ("words", "key", "package", "extra"),
    [
        ("-m hydra/sweeper=optuna hydra/sweeper/sampler=gp", "hydra/sweeper/sampler", "scipy", "samplers"),
        ("-m hydra/sweeper=optuna hydra/sweeper/sampler=cmaes", "hydra/sweeper/sampler", "cmaes", "samplers"),
        ("-m hydra/launcher=submitit_slurm", "hydra/launcher", "submitit", "slurm"),
        ("data=cats", "data", "h5py", "cats"),
    ],
)
def test_an_option_that_needs_an_extra_is_refused_before_a_folder_is_made(
    words: str, key: str, package: str, extra: str, lean: dict[str, str], tmp_path: Path
) -> None:
    lr = "optimizer.lr=interval(0.1,1)" if "optuna" in words else "optimizer.lr=0.1,1" if "-m" in words else "seed=1"
    found = ran_lean("train", *words.split(), lr, at=tmp_path, environment=lean)
    assert found.returncode == 2
    what = f"copycat: {key}: expected {package}; it is not installed. Type pip install 'copycat-ml[{extra}]'."
    assert found.stderr.splitlines()[-1] == what
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_data_fetch_names_the_extra_that_it_needs(lean: dict[str, str], tmp_path: Path) -> None:
    found = ran_lean("data", "fetch", "cats", at=tmp_path, environment=lean)
    assert found.returncode == 2
    assert found.stderr == (
        "copycat: this command: expected pooch; it is not installed. Type pip install 'copycat-ml[cats]'.\n"
    )
