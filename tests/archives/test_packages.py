"""A packed run is the same file each time, and is rerun elsewhere; a stranger's package does no harm."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copycat.archives.entry_names import why_not_portable
from copycat.archives.packing import lock_environment, pack
from copycat.archives.unpacking import unpack, unpacked
from copycat.config.errors import UserError
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.train import train
from tests.support.commands import call_copycat
from tests.support.packages import HOSTILE, read_entries, write_zip
from tests.support.packs import run_sweep
from tests.support.run_folders import find_newest_run
from tests.support.runs import QUIET, compose_quickly, train_tiny


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny("trainer.max_epochs=3", "data.batch_size=4", data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture(scope="module")
def package(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(run, tmp_path_factory.mktemp("packages") / "it.zip", with_data=True).path


def test_the_next_commands_can_be_typed_where_paths_have_blanks(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call_copycat("pack", run, "my it.zip")
    assert capsys.readouterr().out.splitlines()[-1] == "next: copycat rerun 'my it.zip'"
    call_copycat("unpack", "my it.zip", "un p")
    assert capsys.readouterr().out.splitlines()[-1] == "next: copycat rerun 'un p/run'"


def test_a_package_has_the_same_bytes_each_time_and_all_that_a_rerun_needs(run: Path, tmp_path: Path) -> None:
    packed = [pack(run, tmp_path / f"{number}.zip", with_data=True) for number in range(2)]
    contents = [one.path.read_bytes() for one in packed]
    assert contents[0] == contents[1]
    assert packed[0].sha256 == hashlib.sha256(contents[0]).hexdigest()
    moved = shutil.copytree(run, tmp_path / "moved")
    assert pack(moved, tmp_path / "moved.zip", with_data=True).path.read_bytes() == contents[0]
    done = subprocess.run(["unzip", "-tq", packed[0].path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    entries = read_entries(packed[0].path)
    for name in (
        "run.json",
        "config.yaml",
        "metrics.csv",
        "weights.safetensors",
        "checkpoints/last.ckpt",
        "images.csv",
    ):
        assert entries[f"run/{name}"] == (run / name).read_bytes()
    pins = entries["environment/requirements.txt"].decode().splitlines()
    versions = read_manifest(run)["provenance"]["environment"]["packages"]
    assert f"torch=={versions['torch']}" in pins
    assert sum(name.startswith("data/0/") for name in entries) == sum(read_manifest(run)["data"]["images"].values())


def test_a_package_with_data_is_rerun_by_a_stranger_without_the_images(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COPYCAT_SETTINGS", str(tmp_path / "settings"))  # another key: the run is a stranger's
    monkeypatch.chdir(tmp_path)
    found = unpack(package, tmp_path / "there")
    assert not open_run(found.runs[0]).own
    call_copycat("rerun", package)
    assert "identical: 3 epochs" in capsys.readouterr().out
    (copy,) = (tmp_path / "outputs").glob("*/*/*/run.json")
    assert json.loads(copy.read_text())["request"]["copy_of"]["folder"] == str(package.resolve())
    call_copycat("rerun", package, "--to", tmp_path / "kept", "--check")
    assert (tmp_path / "kept" / "run" / "run.json").is_file()


def test_a_package_without_data_says_how_to_give_them(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    folder = train_tiny("trainer.max_epochs=2", data=images, at=tmp_path / "runs").folder
    monkeypatch.chdir(tmp_path)
    call_copycat("pack", folder, "it.zip")
    assert "without the images in" in capsys.readouterr().out
    images.rename(tmp_path / "elsewhere")
    call_copycat("rerun", "it.zip", status=2)
    assert "copycat rerun it.zip --data FOLDER" in capsys.readouterr().err
    call_copycat("rerun", "it.zip", "--data", "elsewhere")
    assert "identical: 2 epochs" in capsys.readouterr().out
    call_copycat("pack", folder, "other.zip", "--data", status=2)
    assert "expected the run's images in" in capsys.readouterr().err


def test_images_that_were_drawn_into_a_folder_are_packed_and_named_as_any_others(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    (images / SYNTHETIC_MARKER).write_text("drawn\n")
    folder = train_tiny("trainer.max_epochs=2", data=images, at=tmp_path / "runs").folder
    assert read_manifest(folder)["data"]["synthetic"]
    monkeypatch.chdir(tmp_path)
    call_copycat("pack", folder, "whole.zip", "--data")
    call_copycat("pack", folder, "bare.zip")
    images.rename(tmp_path / "elsewhere")
    call_copycat("rerun", "whole.zip")
    assert read_manifest(find_newest_run(tmp_path / "runs"))["data"]["synthetic"]
    call_copycat("rerun", folder, status=2)
    assert f"copycat rerun {folder} --data FOLDER" in capsys.readouterr().err
    call_copycat("rerun", "bare.zip", status=2)
    assert "copycat rerun bare.zip --data FOLDER" in capsys.readouterr().err


def test_a_package_of_a_table_that_is_not_here_says_how_to_give_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path for path in tiny.rglob("*.png"))
    rows = [f"{path},{path.parent.name},{path.parent.parent.name}" for path in names]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,split", *rows]))
    words = ["data=csv", f"data.file={table}", "data.image_size=8", "trainer.max_epochs=2", f"output_dir={tmp_path}"]
    folder = train(compose_quickly(words)).folder
    monkeypatch.chdir(tmp_path)
    call_copycat("pack", folder, "it.zip")
    assert f"without the images in {table}: to rerun it, type --data TABLE.csv\n" in capsys.readouterr().out
    call_copycat("pack", folder, "whole.zip", "--data", status=2)
    assert f"those of the table {table} may lie anywhere. Pack it without --data" in capsys.readouterr().err
    table.rename(tmp_path / "moved.csv")
    call_copycat("rerun", "it.zip", status=2)
    assert "copycat rerun it.zip --data TABLE.csv" in capsys.readouterr().err
    call_copycat("rerun", "it.zip", "--data", tiny, status=2)
    assert f"table.csv is not there; got a folder, {tiny}. Type --data TABLE.csv." in capsys.readouterr().err
    call_copycat("rerun", "it.zip", "--data", "moved.csv")
    assert "identical: 2 epochs" in capsys.readouterr().out


def test_images_that_a_rerun_draws_are_not_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(compose_quickly([*QUIET, "trainer.max_epochs=1", f"output_dir={tmp_path}"])).folder
    call_copycat("pack", folder, tmp_path / "it.zip", "--data", status=2)
    assert "a rerun draws those of this one." in capsys.readouterr().err


def test_a_packed_sweep_is_rerun_trial_by_trial(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_sweep("seed=1,2", "trainer.max_epochs=2", "logger=none", data=tiny, at=tmp_path)
    monkeypatch.chdir(tmp_path)
    call_copycat("pack", folder, "it.zip")
    call_copycat("rerun", "it.zip")
    assert capsys.readouterr().out.count("identical: 2 epochs") == 2
    call_copycat("rerun", "it.zip", "--trial", "1", "--check")
    assert "trial 1:\nsame fingerprints" in capsys.readouterr().out
    call_copycat("rerun", "it.zip", "--trial", "7", status=2)
    call_copycat("unpack", "it.zip", "there")
    call_copycat("runs", "there/sweep")
    for command in ("report", "predict", "evaluate", "inspect", "runs", "resume"):
        call_copycat(command, "it.zip", status=2)
        assert f"Type copycat unpack it.zip it, and then copycat {command} it/run" in capsys.readouterr().err


def test_an_error_names_the_package_and_not_its_temporary_folder(package: Path) -> None:
    with pytest.raises(UserError, match=rf"^{package}/run/config\.yaml: "), unpacked(package, None) as found:
        raise UserError(f"{found.folder / 'run' / 'config.yaml'}: expected less; got more.")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_package_is_refused_and_leaves_nothing(
    kind: str, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = HOSTILE[kind]
    hostile, before = tmp_path / "in" / "hostile.zip", sorted(Path("/tmp").glob("evil*"))
    hostile.parent.mkdir()
    spoil(hostile, read_entries(package))
    call_copycat("unpack", hostile, tmp_path / "in" / "there", status=2)
    error = capsys.readouterr().err
    assert words in error
    assert len(error) < 1000
    assert error.isascii() or "\u202e" not in error
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["hostile.zip", "in"]
    assert sorted(Path("/tmp").glob("evil*")) == before


def test_an_honest_package_by_zipfile_is_read(package: Path, tmp_path: Path) -> None:
    """So that the hostile ones are refused for what is wrong with them alone."""
    write_zip(tmp_path / "again.zip", read_entries(package))
    assert (tmp_path / "again.zip").read_bytes() == package.read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_anywhere_is_refused(data: st.DataObject, package: Path, tmp_path: Path) -> None:
    content = bytearray(package.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / "changed.zip").write_bytes(content)
    with pytest.raises(UserError):
        unpack(tmp_path / "changed.zip", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_every_changed_byte_of_the_directory_is_refused(package: Path, tmp_path: Path) -> None:
    content = package.read_bytes()
    start = int.from_bytes(content[-6:-2], "little")
    for place in range(start, len(content), 11):
        (tmp_path / "changed.zip").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UserError):
            unpack(tmp_path / "changed.zip", tmp_path / "there")


@given(name=st.text(max_size=40))
def test_a_portable_name_stays_inside_its_folder(name: str) -> None:
    if why_not_portable(name) is None:
        path = Path("/folder", name)
        assert path.is_relative_to("/folder")
        assert ".." not in path.parts
        assert zipfile.ZipInfo(name).filename == name


def test_a_hostile_manifest_cannot_add_words_to_the_lock() -> None:
    packages = {"numpy": "1.0 --index-url http://evil", "-r": "/etc/passwd", "good": "1.2+cpu", "evil\nrm": "1"}
    content = lock_environment({"python": "3.11\n--evil", "packages": packages})
    assert content == b"# Python unknown; all packages that were installed\ngood==1.2+cpu\n"


@pytest.mark.parametrize("name", ["weights.safetensors", "metrics.csv", "predictions.csv"])
def test_a_run_whose_files_changed_is_not_packed(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = shutil.copytree(run, tmp_path / "damaged")
    (damaged / name).write_bytes(b"")
    call_copycat("pack", damaged, tmp_path / "it.zip", status=2)
    assert f"{damaged / name}: expected an intact file; it was changed" in capsys.readouterr().err
    (damaged / name).unlink()
    call_copycat("pack", damaged, tmp_path / "it.zip", status=2)
    assert f"{damaged / name}: expected an intact file; it is gone" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip"))


def test_wrong_words_are_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words, expected in {
        ("pack", run, tmp_path / "it.tar"): "ends in .zip",
        ("pack", tmp_path, tmp_path / "it.zip"): "expected the folder of a run",
        ("pack", tmp_path / "nowhere", tmp_path / "it.zip"): "expected the folder of a run",
        ("pack", run, tmp_path / "nowhere" / "it.zip"): "in an existing folder",
        ("unpack", run / "run.json", tmp_path / "there"): "expected a package",
        (
            "unpack",
            run / "nowhere.zip",
            tmp_path / "there",
        ): "expected a package of copycat pack; there is no such",
        ("unpack", run, tmp_path / "there"): f"{run}: expected a package of copycat pack; it is no plain file",
        ("unpack", pipe, tmp_path / "there"): f"{pipe}: expected a package of copycat pack; it is no plain file",
        ("unpack", "/dev/zero", tmp_path / "there"): "expected a package of copycat pack; it is no plain file",
        ("rerun", run / "nowhere.zip"): "expected a package of copycat pack; there is no such",
        ("unpack", run / "run.json", run): "expected a new or empty folder",
        ("rerun", run / "metrics.csv"): "expected a package",
        ("rerun", run, "--to", tmp_path): "expected a package",
    }.items():
        call_copycat(*words, status=2)
        assert expected in capsys.readouterr().err
    link = tmp_path / "linked"
    shutil.copytree(run, link)
    (link / "link").symlink_to("/etc/passwd")
    call_copycat("pack", link, tmp_path / "it.zip", status=2)
    assert "got a link" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip"))
