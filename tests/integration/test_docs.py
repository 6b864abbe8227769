"""Every command of the documentation runs, and prints what its page shows; those without an output can be typed."""

import importlib.util
import re
from pathlib import Path

import pytest

from tests.support.commands import run_copycat
from tests.support.shown_commands import check_command, read_shell_commands

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
_spec = importlib.util.spec_from_file_location("console", DOCS / "console.py")
assert _spec is not None
assert _spec.loader is not None
console = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(console)

NUMBER = re.compile(r"-?\d+\.\d+|\d+%")
PAGES = [page for page in DOCS.rglob("*.md") if read_shell_commands(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("folder", console.folders(), ids=lambda folder: folder.name)
def test_the_commands_of_a_folder_print_what_its_pages_show(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in console.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for page in console.pages(folder):
        for words, shown in console.commands(page):
            done = run_copycat(*console.arguments(words, at=tmp_path), at=tmp_path)
            assert done.returncode == 0, f"{page.name}: {words}: {done.stderr}"
            printed = console.mask_varying(done.stdout)
            # words to the letter; numbers as near as another machine's rounding leaves them
            assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown), f"{page.name}: {words}"
            for found, expected in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
                assert float(found.rstrip("%")) == pytest.approx(float(expected.rstrip("%")), abs=0.03, rel=0.03)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_without_an_output_can_be_typed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in read_shell_commands(page.read_text(encoding="utf-8")):
        check_command(command, capsys)
