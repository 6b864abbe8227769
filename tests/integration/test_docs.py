"""Every command of the guide runs, and prints what the guide shows."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from tests.support.commands import run_copycat

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("console", ROOT / "docs" / "console.py")
assert _spec is not None
assert _spec.loader is not None
console = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(console)

NUMBER = re.compile(r"-?\d+\.\d+|\d+%")


@pytest.mark.parametrize(("words", "shown"), list(console.commands((ROOT / "docs" / "guide.md").read_text())))
def test_a_command_of_the_guide_prints_what_the_guide_shows(
    words: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in console.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    done = run_copycat(*shlex.split(words), at=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = console.mask_varying(done.stdout)
    # words to the letter; numbers as near as another machine's rounding leaves them
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    for found, expected in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert float(found.rstrip("%")) == pytest.approx(float(expected.rstrip("%")), abs=0.03, rel=0.03)


def test_the_guide_shows_commands_with_outputs() -> None:
    found = list(console.commands((ROOT / "docs" / "guide.md").read_text()))
    assert len(found) >= 10
    assert all(shown.strip() for _, shown in found)
