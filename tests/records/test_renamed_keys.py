"""Run folders that were recorded under keys that were renamed since."""

import json
import shutil
from pathlib import Path

import pytest

from copycat.config.renamed_keys import RENAMED
from copycat.data.synthetic.dataset import Drawn
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.records.run_loader import open_run
from copycat.tables.comparison import read_comparison
from tests.support.commands import call_copycat
from tests.support.old_names import LAST_PARTS, rewrite_run
from tests.support.run_folders import assert_same_bits, change_config, strip_signature
from tests.support.runs import train_tiny

WORDS = ("model=shallow", "model.hidden=[3]", "augmentation=mixup", "augmentation/base=light", "optimizer=adam")
RENAMED_WORDS = ("lr_multipliers={layers.0.*:0.5}", "data.on_unreadable=skip", "callbacks.input_images.count=2")


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs by this version."""
    words = (*WORDS, *RENAMED_WORDS, "trainer.max_epochs=2", "trainer.threads=1")
    return train_tiny(*words, data=tiny, at=tmp_path_factory.mktemp("new")).folder


@pytest.fixture(params=["signed", "unsigned"])
def old(request: pytest.FixtureRequest, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as an older version recorded it."""
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(run, tmp_path / "old")
    rewrite_run(folder, signed=request.param == "signed")
    return folder


def check(folder: Path, capsys: pytest.CaptureFixture[str], *, status: int = 0) -> str:
    """What `copycat rerun --check` prints."""
    capsys.readouterr()
    call_copycat("rerun", "--check", folder, status=status)
    return capsys.readouterr().out


def test_it_is_recorded_under_old_keys(old: Path) -> None:
    names = read_manifest(old)["request"]["config_keys"].keys()
    old_names = ("layer_rates", "augmentation.first.flip", "data.broken", "callbacks.fed.count", "callbacks.judged")
    assert all(any(f"{name}.".startswith(f"{key}.") for name in names) for key in old_names)
    assert not any(part in LAST_PARTS for name in names for part in name.split("."))
    assert not any(f"{key}:" in (old / "config.yaml").read_text() for key in LAST_PARTS)


def test_it_is_opened_and_predicted_with(old: Path, run: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    was, now = open_run(old), open_run(run)
    assert was.config == now.config
    assert list(was.config) == list(now.config)
    assert was.manifest["request"]["overrides"] == now.manifest["request"]["overrides"]
    assert was.manifest["request"]["config_keys"] == now.manifest["request"]["config_keys"]
    capsys.readouterr()
    predicted = []
    for folder in (old, run):
        call_copycat("predict", folder, tiny / "val", "--json")
        predicted.append(json.loads(capsys.readouterr().out)["predictions"])
    assert predicted[0] == predicted[1]
    assert predicted[0]


def test_it_is_rerun_to_the_same_bits(old: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (old / "config.yaml").read_bytes()
    assert check(old, capsys) == "same fingerprints\n"
    call_copycat("rerun", old)
    assert capsys.readouterr().out.startswith("identical")
    assert (old / "config.yaml").read_bytes() == content


def test_what_was_changed_in_its_configuration_is_named_by_the_new_key(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = old / "config.yaml"
    path.write_text(path.read_text().replace("broken: skip", "broken: stop"))
    assert "data.on_unreadable" in check(old, capsys, status=1)


def test_one_that_was_interrupted_is_resumed_and_keeps_its_digests(
    old: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, manifest = (old / "config.yaml").read_bytes(), read_manifest(old)
    write_manifest(old, {**manifest, "status": "interrupted"})
    if "signature" not in manifest:
        strip_signature(old)
    history = (old / "metrics.csv").read_text().splitlines(keepends=True)
    for name in ("weights.safetensors", "predictions.csv", "gallery.json", "metrics.csv"):
        (old / name).unlink()
    shutil.rmtree(old / "checkpoints")
    call_copycat("resume", old)
    assert (old / "config.yaml").read_bytes() == content
    assert (old / "metrics.csv").read_text().splitlines(keepends=True) == history
    assert (old / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    assert open_run(old).own
    assert check(old, capsys) == "same fingerprints\n"


def test_it_is_resumed_to_the_bits_of_one_that_was_asked_for_as_many_epochs(
    old: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*WORDS, *RENAMED_WORDS, "trainer.max_epochs=3", "trainer.threads=1")
    whole = train_tiny(*words, data=tiny, at=tmp_path / "whole").folder
    call_copycat("resume", old, "trainer.max_epochs=3")
    assert_same_bits(old, whole)
    assert check(old, capsys) == "same fingerprints\n"


def test_it_is_compared_with_a_newer_one_without_a_renamed_key(old: Path, run: Path) -> None:
    compared = read_comparison([old, run])
    assert compared.keys(equal=False) == []
    assert not [name for name in compared.keys(equal=True) if name.startswith(tuple(RENAMED))]


def test_it_is_reported(old: Path) -> None:
    call_copycat("report", old)
    assert (old / "report.html").exists()


def test_a_class_that_moved_is_no_difference_between_an_old_run_and_a_newer_one(
    old: Path, run: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(run, tmp_path / "newer")
    change_config(old, lambda config: config["data"].update(_target_="copycat.data.drawn.Drawn"))
    change_config(newer, lambda config: config["data"].update(_target_=f"{Drawn.__module__}.{Drawn.__name__}"))
    assert read_comparison([old, newer]).keys(equal=False) == []
