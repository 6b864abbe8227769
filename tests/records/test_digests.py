"""A run's manifest has a digest of each of its files, and `rerun --check` names what was changed."""

import json
import shutil
from pathlib import Path

import pytest

from copycat.records.digests import changed_files, digest_files
from copycat.records.run_loader import open_recorded
from copycat.reruns.rerun import current_differences
from tests.support.commands import call_copycat
from tests.support.run_folders import change_manifest
from tests.support.runs import train_tiny


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=2", data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def read_digests(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "run.json").read_text())["files"]
    return found


def test_each_file_of_a_run_has_a_digest(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert read_digests(folder).keys() == names - {"run.json"}
    assert {"images.csv", "train.log", "gallery.json", "checkpoints/last.ckpt"} <= names
    assert sum("tfevents" in name for name in names) >= 3
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["files"]["weights.safetensors"] == manifest["results"]["weights_digest"]
    assert list(current_differences(open_recorded(folder))) == []


def test_a_check_names_each_file_that_was_changed(folder: Path) -> None:
    for name in read_digests(folder):
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(before[:-1] + (b"!" if before.endswith(b"?") else b"?"))
        if name == "config.yaml":  # which may be no configuration any more
            assert dict(changed_files(folder, read_digests(folder))) == {name: "was changed since it was recorded"}
        else:
            (cause,) = current_differences(open_recorded(folder))
            assert cause.kind == "record"
            assert cause.line.startswith(name)
        path.write_bytes(before)


def test_the_command_prints_what_is_changed_or_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gallery.json").unlink()
    with (folder / "train.log").open("a") as log:
        log.write("forged\n")
    call_copycat("rerun", "--check", folder, status=1)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1. record: gallery.json is gone",
        "2. record: train.log was changed since it was recorded",
    ]


def test_what_other_commands_write_later_is_no_change(folder: Path) -> None:
    (folder / "report.html").write_text("x")
    (folder / "export").mkdir()
    (folder / "export" / "README.md").write_text("x")
    assert list(current_differences(open_recorded(folder))) == []
    assert digest_files(folder) == read_digests(folder)


def test_a_name_that_leads_out_of_the_folder_reads_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    names = ["../outside", str(tmp_path / "outside"), "checkpoints/../../outside"]
    change_manifest(folder, lambda manifest: manifest.update(files=dict.fromkeys(names, "0" * 32)))
    assert [cause.line for cause in current_differences(open_recorded(folder))] == [f"{name} is gone" for name in names]


def test_a_name_that_is_no_text_has_a_digest_too(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.txt").write_text("x")
    found = digest_files(tmp_path)
    json.dumps(found, ensure_ascii=False).encode()
    assert list(changed_files(tmp_path, found)) == []
