"""The package as others get it: built, installed and run where no checkout is."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.run_folders import find_only_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SOURCES = {"src/copycat": "copycat", "src/hydra_plugins": "hydra_plugins"}
SETTINGS = {"conf": "copycat/conf", "experiments": "copycat/experiments"}


def run_command(*words: str | Path, at: Path) -> str:
    """Standard output of a command that must do well."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, cwd=at, env=clean, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(*flags: str, at: Path) -> Path:
    """A folder with what `python -m build` makes of the checkout."""
    run_command(sys.executable, "-m", "build", "--no-isolation", *flags, "--outdir", at / "dist", ROOT, at=at)
    return at / "dist"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from it."""
    return build(at=tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that has the wheel, and this environment's packages but not its checkout."""
    home = tmp_path_factory.mktemp("installed")
    run_command(sys.executable, "-m", "venv", "--without-pip", home, at=home)
    python = home / "bin" / "python"
    run_command(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, at=home)
    (site,) = home.glob("lib/*/site-packages")
    # a folder that a .pth file names has its own .pth files left unread: so the editable install stays out
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def list_wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_code_and_settings_and_nothing_else(wheel: Path) -> None:
    expected = {
        f"{there}/{file.relative_to(ROOT / here)}"
        for here, there in (SOURCES | SETTINGS).items()
        for file in (ROOT / here).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and (file.suffix != ".py" or here not in SETTINGS)
    }
    assert list_wheel_files(wheel) == expected
    assert {"copycat/py.typed", "copycat/conf/copycat.yaml", "copycat/experiments/lecture.yaml"} <= expected


def test_wheels_from_checkout_and_from_sdist_hold_the_same(wheel: Path, tmp_path: Path) -> None:
    (straight,) = build("--wheel", at=tmp_path).glob("*.whl")
    assert list_wheel_files(straight) == list_wheel_files(wheel)


def test_the_sdist_brings_readme_and_license(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        found = {name.partition("/")[2] for name in file.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "conf/copycat.yaml"} <= found
    assert not {name.partition("/")[0] for name in found} & {"tests", "outputs", "data", ".venv"}


def test_pypi_would_take_both(dist: Path) -> None:
    told = run_command(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir(), at=dist)
    assert told.count("PASSED") == 2


def test_the_wheel_runs_in_an_empty_folder(installed: Path, tmp_path: Path, images: Path) -> None:
    at = tmp_path / "empty"
    at.mkdir()
    where = "import copycat, hydra_plugins.copycat as p; print(copycat.__file__, p.__file__, sep='\\n')"
    for file in run_command(installed / "python", "-c", where, at=at).split():
        assert Path(file).is_relative_to(installed.parent)
    assert "8001" in run_command(installed / "copycat", "train", "--cfg", "job", "experiment=lecture", at=at)
    assert not list(at.iterdir())

    words = ["data=folder", f"data.root={images}", "data.image_size=8", "trainer.max_epochs=3"]
    told = run_command(installed / "python", "-m", "copycat", "train", *words, at=at)
    folder = find_only_run(at / "outputs" / "default")
    assert json.loads((folder / "run.json").read_text())["results"]["epochs"] == 3
    assert f"in {folder.relative_to(at)}" in told


def test_own_settings_stand_beside_the_packaged_ones(installed: Path, tmp_path: Path, images: Path) -> None:
    own = {
        "conf/optimizer/brisk.yaml": "_target_: torch.optim.SGD\n_partial_: true\nlr: 0.25\n",
        "experiments/bright.yaml": f"""\
# @package _global_
defaults:
  - override /data: folder
  - override /model: shallow
  - override /optimizer: brisk
data:
  root: {images}
  image_size: 8
trainer:
  max_epochs: 2
""",
    }
    for name, text in own.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    run_command(installed / "copycat", "train", "experiment=bright", at=tmp_path)
    config = (find_only_run(tmp_path / "outputs" / "bright") / "config.yaml").read_text()
    assert "lr: 0.25" in config
    assert "hidden:\n  - 13\n" in config
