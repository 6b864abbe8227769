"""What the README shows can be typed: commands compose or find their flags, and the Python lines run."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.packs import run_sweep
from tests.support.shown_commands import check_command, split_commands

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks() -> Iterator[str]:
    """Yield the indented blocks, without their indentation."""
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", README, re.MULTILINE):
        yield re.sub(r"^ {4}", "", block, flags=re.MULTILINE).lstrip("\n")


COMMANDS = [command for block in blocks() for command in split_commands(block)]


def test_it_is_short_and_shows_commands() -> None:
    assert len(README.splitlines()) <= 200
    assert len(COMMANDS) >= 15


def test_its_pictures_are_there_and_small() -> None:
    pictures = set(re.findall(r"docs/images/[\w-]+\.png", README))
    assert {"docs/images/readme-light.png", "docs/images/readme-dark.png"} <= pictures
    assert all((ROOT / picture).stat().st_size <= 200_000 for picture in pictures)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_copycat_takes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check_command(command, capsys)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_its_pytest_commands_leave_out_what_the_extra_dev_cannot_run(page: str) -> None:
    found = re.findall(r"^    .*pytest -n.*", (ROOT / page).read_text(), re.MULTILINE)
    assert found
    assert all("not torchvision" in line for line in found)


@pytest.mark.slow
def test_the_python_lines_of_readme_and_guide_run(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = (block for block in blocks() if block.startswith("import copycat\n"))
    Image.fromarray(np.zeros((90, 70, 3), dtype=np.uint8)).save(tmp_path / "photo.jpg")
    sweep = run_sweep("seed=1,2", "trainer.max_epochs=1", "logger=none", data=tiny, at=tmp_path / "made")
    shutil.copytree(sweep, tmp_path / "outputs" / "sweep" / "DATE" / "TIME")
    sweep.rename(tmp_path / "sweep")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    program = program.replace("run.predict(", "classes = run.predict(").replace("run.rerun(", "found = run.rerun(")
    exec(program, names)
    assert len(names["classes"]) == 1
    assert names["found"] == []
    guide = (ROOT / "docs" / "how-to" / "python.md").read_text()
    exec("".join(re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)), names)
    assert names["rerun"].comparison.differences == []
    assert names["best"].status == "completed"
    assert len(names["rows"]) > 2
