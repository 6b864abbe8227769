"""Names from outside reach terminals, tables and CSV files as text: they neither move the cursor nor forge a line."""

import csv
import json
import re
import shutil
from io import StringIO
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from copycat.inspection.reports.run_page import make_run_page
from copycat.records.run_folder import read_manifest, write_manifest
from tests.support.commands import call_copycat
from tests.support.images import write_image_folder
from tests.support.run_folders import change_manifest, find_only_run, forget_digest_of_weights
from tests.support.runs import QUIET, train_tiny

EVIL = "=a\x1b]0;title\x07\x1b[31m\nidentical: forged\r\u202eb"
"""A formula that would set a terminal's title and color, begin a line of its own, and turn its text around."""
EMOJI = ":cat:"
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def check_printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what went to both streams, given that none of it is unprintable or a line of its own."""
    text = "".join(capsys.readouterr())
    assert not UNPRINTABLE.search(text), UNPRINTABLE.findall(text)
    assert not re.search("^ *identical: forged", text, re.MULTILINE)
    return text


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes with names from outside; each part has an image twice, and one of train is in val too."""
    root = tmp_path_factory.mktemp("images")
    write_image_folder(root, classes={EVIL: 0, EMOJI: 60}, parts={"train": 4, "val": 3}, levels=180)
    for part in ("train", "val"):
        shutil.copy(root / "train" / EVIL / "0.png", root / part / EVIL / f"{EVIL}.png")
    (root / "train" / EMOJI / f"{EVIL}.jpg").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("trainer.max_epochs=2", "data.on_unreadable=skip", *QUIET)
    return train_tiny(*words, data=images, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_a_check_of_data_shows_them_as_text(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("data", "check", "data=folder", f"data.root={images}", "data.image_size=8", status=1)
    printed = check_printed(capsys)
    assert EMOJI in printed
    assert "=a�]0;title" in printed


def test_what_cannot_be_read_is_one_line(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("train", "data=folder", f"data.root={images}", "data.image_size=8", status=2)
    assert check_printed(capsys).count("\n") == 1


def test_a_run_ends_with_them_as_text(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["data=folder", f"data.root={images}", "data.image_size=8", f"output_dir={tmp_path}"]
    call_copycat("train", *where, "data.on_unreadable=skip", "trainer.max_epochs=1", *QUIET)
    printed = check_printed(capsys)
    assert "precision, recall, f1: of class =a�]0;title" in printed
    warnings = json.loads((find_only_run(tmp_path) / "run.json").read_text())["data"]["warnings"]
    assert warnings
    assert not UNPRINTABLE.search("".join(warnings))


def test_predictions_are_text_in_a_table_and_no_formula_in_a_csv(
    folder: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("predict", folder, images / "train" / EVIL)
    check_printed(capsys)
    call_copycat("predict", folder, images / "train" / EVIL, "--csv")
    head, *rows = csv.reader(StringIO(check_printed(capsys)))
    assert any("=a�]0;title" in name for name in head)
    assert any(row[1].startswith("'=a") for row in rows)
    call_copycat("predict", folder, f"no{EVIL}", status=2)
    assert check_printed(capsys).count("\n") == 1


def test_a_package_s_version_forges_no_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = "1\nidentical: forged\x1b[31m"
    manifest = read_manifest(folder)
    environment = manifest["provenance"]["environment"]
    environment |= {"python": version, "cpu": version}
    environment["packages"] |= {"torch": version, "numpy": version}
    write_manifest(folder, manifest)  # one's own: a stranger's is refused for the escape
    call_copycat("rerun", "--check", folder, status=1)
    assert "torch 1�identical: forged�[31m → " in check_printed(capsys)


def test_metrics_and_tensors_have_names_that_can_be_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = load_file(folder / "weights.safetensors")
    save_file({f"{name}{EVIL}": tensor for name, tensor in weights.items()}, folder / "weights.safetensors")
    forget_digest_of_weights(folder)
    call_copycat("inspect", "--weights", folder)
    check_printed(capsys)
    path = folder / "metrics.csv"
    path.write_text(path.read_text().replace("val/loss", "\x1b[31mval/loss\u202e"))
    call_copycat("rerun", folder, status=1)
    assert "first difference" in check_printed(capsys)
    call_copycat("predict", folder, folder, status=2)
    check_printed(capsys)


def test_runs_are_listed_and_compared_as_text(folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = f"+x={EVIL}"
    change_manifest(folder, lambda manifest: manifest["request"].update(overrides=[evil]))
    other = Path(shutil.copytree(trained, folder.with_name(f"run {EVIL.replace('/', '')}")))
    change_manifest(folder, lambda manifest: manifest.update(error=EVIL, status="failed"))
    change_manifest(folder, lambda manifest: manifest["results"]["final"].update({f"val/{EVIL}": 0.5}))
    for words in (["runs", folder.parent], ["compare", folder, other]):
        call_copycat(*words)
        check_printed(capsys)
        call_copycat(*words, "--csv")
        cells = [cell for row in csv.reader(StringIO(check_printed(capsys))) for cell in row]
        assert any(cell.startswith("'=a") for cell in cells)
        assert not any(re.match("[=+@-][^0-9]", cell) for cell in cells)


def test_a_page_holds_no_control_characters(folder: Path) -> None:
    page = make_run_page(folder).html()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", page)
    assert EMOJI in page


def test_a_failure_is_one_line_and_its_trace_is_printable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"x{EVIL}")

    monkeypatch.setattr("copycat.sweeps.show.show_runs", fail)
    call_copycat("runs", tmp_path, status=1)
    assert check_printed(capsys).count("\n") == 1
    call_copycat("runs", tmp_path, "--debug", status=1)
    out = "".join(capsys.readouterr())
    assert "Traceback" in out
    assert "\x1b" not in out
