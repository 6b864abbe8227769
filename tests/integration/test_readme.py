"""What the README shows can be typed: commands compose or find their flags, and the Python lines run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copycat.cli import main
from copycat.config.compose import compose
from copycat.config.sweep_composition import compose_sweep
from tests.support.packs import run_sweep

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks() -> Iterator[str]:
    """Yield the indented blocks, without their indentation."""
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", README, re.MULTILINE):
        yield re.sub(r"^ {4}", "", block, flags=re.MULTILINE).lstrip("\n")


COMMANDS = [
    re.sub(r"\s+#.*", "", line).removeprefix("copycat ")
    for block in blocks()
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("copycat ")
]


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
    name, *words = shlex.split(command)
    if (name, words) == ("data", ["fetch", "cats"]):  # tests/data/sources/test_download.py has its own server
        return
    if name == "train":
        composed = compose_sweep(words[1:]).first if words[:1] == ["-m"] else compose(words)
        assert composed.config["model"]
        return
    with pytest.raises(SystemExit) as end:  # the folder that it names is not here, which each command says
        main([name, *words])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "expected" in said
    assert "flag" not in said


@pytest.mark.slow
def test_the_python_lines_run(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = (block for block in blocks() if block.startswith("import copycat\n"))
    Image.fromarray(np.zeros((90, 70, 3), dtype=np.uint8)).save(tmp_path / "photo.jpg")
    sweep = run_sweep("seed=1,2", "trainer.max_epochs=1", "logger=none", data=tiny, at=tmp_path / "made")
    (tmp_path / "outputs" / "sweep" / "DATE").mkdir(parents=True)
    sweep.rename(tmp_path / "outputs" / "sweep" / "DATE" / "TIME")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    program = program.replace("run.predict(", "classes = run.predict(").replace("run.rerun(", "found = run.rerun(")
    exec(program, names)
    assert len(names["classes"]) == 1
    assert names["found"] == []
