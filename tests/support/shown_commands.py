"""Check what a page shows: outputs, and commands without one, which compose or have known flags."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from copycat.cli import main
from copycat.config.compose import compose
from copycat.config.sweep_composition import compose_sweep

DOCS = Path(__file__).parents[2] / "docs"


def load_script(name: str) -> ModuleType:
    """Load a script of docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)
        patch.setattr(sys, "path", [*sys.path])  # scripts import their neighbors
        spec.loader.exec_module(module)
    return module


def check_printed(printed: str, shown: str, *, where: str, numbers: re.Pattern[str], tolerance: float) -> None:
    """Compare words to the letter, and numbers as near as another machine's rounding leaves them."""
    assert numbers.sub("#", printed) == numbers.sub("#", shown), where
    for found, expected in zip(numbers.findall(printed), numbers.findall(shown), strict=True):
        near = pytest.approx(float(expected.rstrip("%")), abs=tolerance, rel=tolerance)
        assert float(found.rstrip("%")) == near, where


def read_shell_commands(page: str) -> list[str]:
    """Return the commands in the `sh` blocks of a page, without `copycat` and without comments, each once."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return list(dict.fromkeys(command for block in blocks for command in split_commands(block)))


def split_commands(block: str) -> list[str]:
    """Return the commands of a block of shell lines, without `copycat` and without comments."""
    lines = block.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#.*", "", line).removeprefix("copycat ") for line in lines if line.startswith("copycat ")]


def check_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a command is one that copycat takes, in a folder without the files that it names."""
    name, *words = shlex.split(command)
    if (name, words) == ("data", ["fetch", "cats"]):  # tests/data/sources/test_download.py has its own server
        return
    if name == "train":
        composed = compose_sweep(words[1:]).first if words[:1] == ["-m"] else compose(words)
        assert composed.config["model"]
        return
    if name == "data" and words[0] == "draw":
        return
    if name == "inspect" and not any("RUN" in word for word in words):
        assert compose([word for word in words if "=" in word]).config["model"]
        return
    with pytest.raises(SystemExit) as end:  # the folder that it names is not here, which each command says
        main([name, *words])
    said = capsys.readouterr().err
    assert end.value.code == 2, command
    assert "expected" in said or "data=cats: no " in said, command
    assert "flag" not in said, command
