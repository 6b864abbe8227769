"""The page of `copycat data check`, as a user sees it: in a pipe, in terminals, for sets of any shape."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copycat.data.datamodule import DataModule
from copycat.data.report import print_check
from copycat.data.split import Part
from tests.support.commands import call_copycat, run_copycat
from tests.support.parts import make_part

SavePicture = Callable[..., Path]


def in_a_process(*words: str, status: int = 0) -> list[str]:
    """The lines that the command prints into a pipe."""
    done = run_copycat("data", "check", *words, at=Path.cwd())
    assert (done.returncode, done.stderr) == (status, ""), done.stderr
    return done.stdout.splitlines()


def check_in_process(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The same without a process, which takes seconds to start."""
    call_copycat("data", "check", *words)
    return capsys.readouterr().out.splitlines()


def parse_rows(lines: Sequence[str]) -> dict[str, list[str]]:
    """The table's cells, by the first of their row."""
    cells = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines if line[:1] in ("│", "┃")]
    return {row[0]: row[1:] for row in cells}


# ----- the real command


def test_planted_faults_of_a_folder_stand_on_the_page(save_picture: SavePicture, tmp_path: Path) -> None:
    for index in range(6):
        save_picture(f"pets/train/dog/{index}.png", seed=index)
        save_picture(f"pets/train/cat/{index}.png", seed=100 + index)
        save_picture(f"pets/val/cat/{index}.png", seed=200 + index)
    save_picture("pets/val/dog/0.png", seed=300)
    save_picture("pets/train/dog/again.png", seed=3)
    save_picture("pets/val/cat/known.png", seed=104)
    for file in (tmp_path / "pets/val/cat").glob("?.png"):  # a brighter camera
        Image.fromarray(np.asarray(Image.open(file)) // 2 + 127).save(file)
    (tmp_path / "pets/train/cat/broken.jpg").write_bytes(b"no image")
    lines = in_a_process("data=folder", f"data.root={tmp_path / 'pets'}", "data.image_size=8", status=1)
    table = parse_rows(lines)
    assert table["part"] == ["train", "val"]
    assert table["images"] == ["13", "8"]
    assert table["cat"] == ["6 (46%)", "7 (88%)"]
    assert table["dog"] == ["7 (54%)", "1 (12%)"]
    assert abs(float(table["brightness"][0]) - 127.5) < 5
    assert float(table["brightness"][1]) > 165
    page = "\n".join(lines)
    assert "duplicates within a part: 1\n  train/dog/3.png = train/dog/again.png\n" in page
    assert "duplicates across parts: 1\n  train/cat/4.png (train) = val/cat/known.png (val)\n" in page
    assert "unreadable files: 1\n  train/cat/broken.jpg: " in page
    warnings = [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]
    assert warnings[:3] == [
        "1 image twice across parts: train/cat/4.png = val/cat/known.png",
        "1 image twice within a part: train/dog/3.png = train/dog/again.png",
        "dog is 54% of train but 12% of val",
    ]
    assert re.fullmatch(r"brightness 12\d in train but 1[678]\d in val", warnings[3])
    assert warnings[4].startswith("1 unreadable, left out: train/cat/broken.jpg: ")
    assert re.fullmatch("fingerprint: [0-9a-f]{32}", lines[-2])
    assert lines[-1].startswith("training stops at unreadable files: ")


def test_the_drawn_set_is_said_to_be_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    lines = check_in_process(capsys, "data=drawn")
    assert parse_rows(lines)["cat"] == ["72 (34%)", "33 (66%)"]
    assert "warning: these images are drawn, not photographed" in lines
    assert "duplicates across parts: 0" in lines


# ----- pages of other shapes


class Many:
    """A source with as many classes as asked, long names, and many duplicates."""

    synthetic: bool = False

    def __init__(self, *, classes: int, copies: int = 0, channels: int = 3) -> None:
        self.classes: Sequence[str] = [f"class {index} {'of a long name ' * 3}".strip() for index in range(classes)]
        self.copies, self.channels = copies, channels

    def load(self) -> dict[str, Part]:
        return {"train": self._part("train", [*range(200), *range(self.copies)]), "val": self._part("val", [201, 202])}

    def _part(self, name: str, shades: list[int]) -> Part:
        images = torch.tensor(shades, dtype=torch.uint8)[:, None, None, None].repeat(1, self.channels, 2, 2)
        names = [f"{name}/{'a long folder/' * 5}{index}.png" for index in range(len(shades))]
        return make_part(images, torch.arange(len(shades)) % len(self.classes), names)


def print_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Many, *, width: int
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    print_check(DataModule(source))
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_of_30_classes_fits_a_narrow_terminal_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    lines = print_report(monkeypatch, capsys, Many(classes=30), width=width)
    table = [line for line in lines if line[:1] in ("│", "┃")]
    assert max(map(len, table)) <= width
    text = "".join(line.split("│")[1].strip() for line in table[1:]).replace(" ", "")
    for index in range(30):
        assert f"class{index}ofalongnameofalongnameofalongname" in text
    assert "7 (4%)" in "".join(table)


def test_a_pipe_gets_every_line_whole_and_a_terminal_the_first_twenty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = print_report(monkeypatch, capsys, Many(classes=2, copies=50), width=60)
    assert len([line for line in piped if " = " in line and not line.startswith("warning")]) == 50
    folder = "a long folder/" * 5
    assert f"  train/{folder}49.png = train/{folder}249.png" in piped
    monkeypatch.setenv("FORCE_COLOR", "1")  # which rich takes for a terminal
    shown = print_report(monkeypatch, capsys, Many(classes=2, copies=50), width=60)
    assert len([line for line in shown if " = " in line and not line.startswith("warning")]) == 20
    assert "  and 30 more: add | cat to see them all" in shown


def test_images_of_one_channel_have_a_row_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = parse_rows(print_report(monkeypatch, capsys, Many(classes=2, channels=1), width=100))
    assert table["channel 0"] == table["brightness"] == ["99.5", "201.5"]
    assert "red" not in table
