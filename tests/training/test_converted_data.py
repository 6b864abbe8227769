"""Runs on converted data have the bits of runs on the folder, killed and resumed, or rerun."""

from pathlib import Path

import pytest

from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.resume import resume
from tests.support.commands import call_copycat
from tests.support.conversions import CONVERTED, convert_folder
from tests.support.killed_runs import CNN, assert_same_folders, kill_run, train_killable
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits
from tests.support.web_server import serve_folder

pytestmark = pytest.mark.usefixtures("all_checkpoints")
LAZY = [*CNN, "data.memory_mb=0"]


@pytest.mark.parametrize("words", [["data.memory_mb=2048"], ["data.workers=0"], ["data.cache=true"]], ids=str)
@pytest.mark.parametrize("form", mark_slow(CONVERTED, fast=["shards"]))
def test_a_run_has_the_metrics_of_a_run_on_the_folder(form: str, words: list[str], tiny: Path, tmp_path: Path) -> None:
    convert_folder(tiny, tmp_path / "rows", form=form, rows=3)
    expected = train_killable(tiny, tmp_path / "folder", *LAZY, *words).folder
    found = train_killable(tiny, tmp_path / "run", *LAZY, *words, f"data={form}", f"data.root={tmp_path}/rows").folder
    assert_same_bits(found, expected)


RESUMED = [(form, workers) for form in CONVERTED for workers in (0, 2) if (form, workers) != ("lance", 2)]
"""Workers of Lance start anew in each epoch, in seconds; tests/data/sources has their order."""


@pytest.mark.parametrize(("form", "workers"), mark_slow(RESUMED, fast=[("shards", 0), ("shards", 2)], unpack=True))
def test_a_run_killed_inside_an_epoch_goes_on_to_the_same_bits_and_is_rerun(
    form: str, workers: int, tiny: Path, tmp_path: Path
) -> None:
    convert_folder(tiny, tmp_path / "rows", form=form, rows=3)
    words = [*LAZY, f"data.workers={workers}", f"data={form}", f"data.root={tmp_path}/rows"]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=("batch", 6))
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)
    copied = rerun(open_recorded(folder), notify=lambda line: None)
    assert not copied.causes
    assert not copied.comparison.differences


@pytest.mark.slow
def test_a_run_on_shards_at_an_address_is_rerun_from_there(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    convert_folder(tiny, tmp_path / "rows", rows=3)
    monkeypatch.chdir(tmp_path)
    with serve_folder(tmp_path) as address:
        run = train_killable(tiny, tmp_path, *LAZY, "data=shards", f"data.root={address}/rows").folder
        call_copycat("rerun", run)
    assert "identical: 3 epochs" in capsys.readouterr().out
    call_copycat("rerun", run, status=2)
    assert "data.root: expected a data set that can be read; " in capsys.readouterr().err
    call_copycat("rerun", run, "--data", "rows")
    assert "identical: 3 epochs" in capsys.readouterr().out
    call_copycat("pack", run, "it.zip", "--data", status=2)
    assert "--data: expected a run whose data lies on this machine; got http" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("form", CONVERTED)
def test_a_packed_run_takes_its_shards_along(
    form: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    convert_folder(tiny, tmp_path / "rows", form=form, rows=3)
    run = train_killable(tiny, tmp_path, *LAZY, "data.workers=0", f"data={form}", f"data.root={tmp_path}/rows").folder
    monkeypatch.chdir(tmp_path)
    call_copycat("pack", run, "it.zip", "--data")
    (tmp_path / "rows").rename(tmp_path / "elsewhere")
    call_copycat("rerun", "it.zip")
    assert "identical: 3 epochs" in capsys.readouterr().out
