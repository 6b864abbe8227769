"""Every command of the documentation runs, and prints what its page shows; those without an output can be typed."""

import re
from pathlib import Path

import pytest

from tests.support.commands import run_copycat
from tests.support.shown_commands import DOCS, check_command, check_printed, load_script, read_shell_commands

pytestmark = pytest.mark.slow

console = load_script("console")
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
            check_printed(printed, shown, where=f"{page.name}: {words}", numbers=NUMBER, tolerance=0.03)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_without_an_output_can_be_typed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COPYCAT_DATA", raising=False)  # a check of the cats would take place
    for command in read_shell_commands(page.read_text(encoding="utf-8")):
        check_command(command, capsys)
