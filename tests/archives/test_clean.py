"""`copycat clean` shows what can go, and removes that alone."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from copycat.records.lock import locked
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.records.run_loader import open_recorded
from copycat.reruns.rerun import rerun
from copycat.tables.index import _index_path
from tests.support.commands import call_copycat
from tests.support.packs import run_sweep
from tests.support.runs import train_tiny

WORDS = ("model=shallow", "model.hidden=[2]", "trainer.max_epochs=2", "logger=none")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def swept(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_sweep("optimizer.lr=1e-3,1e-1,1", *WORDS, data=tiny, at=tmp_path_factory.mktemp("swept"))


@pytest.fixture
def sweep(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(swept, tmp_path / "runs" / "sweep")


def best_trial(sweep: Path) -> str:
    losses = {
        path.parent.name: json.loads(path.read_text())["objectives"]["val/loss"] for path in sweep.glob("*/trial.json")
    }
    return min(losses, key=lambda name: losses[name])


def test_it_shows_first_and_then_removes_the_checkpoints_of_trials_that_lost(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, best = files_of(sweep), best_trial(sweep)
    losers = sorted({"0", "1", "2"} - {best})
    call_copycat("clean", "runs")
    shown = capsys.readouterr().out
    wanted = [sweep / number / "checkpoints" / name for number in losers for name in ("best.ckpt", "last.ckpt")]
    assert f"total: 4 items, {sum(map(os.path.getsize, wanted)) / 1e6:.1f} MB" in shown or "kB" in shown
    assert "nothing is removed yet. To remove it: copycat clean runs --yes" in shown
    assert files_of(sweep) == before
    call_copycat("clean", "runs", "--yes")
    after = files_of(sweep)
    assert before.keys() - after.keys() == {str(path.relative_to(sweep)) for path in wanted}
    assert {name for name in after if after[name] != before[name]} == {f"{number}/run.json" for number in losers}
    capsys.readouterr()
    call_copycat("clean", "runs", "--yes")
    assert "runs: nothing to remove" in capsys.readouterr().out


def test_a_cleaned_trial_is_reruns_and_predicts_and_its_sweep_is_read(
    sweep: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("clean", sweep, "--yes")
    loser = next(sweep / str(number) for number in range(3) if str(number) != best_trial(sweep))
    opened = open_recorded(loser)
    assert opened.own
    assert set(opened.manifest["cleaned"]) == {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    found = rerun(opened, notify=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences
    capsys.readouterr()
    call_copycat("rerun", loser)
    printed = capsys.readouterr().out
    assert "not compared: best.ckpt and last.ckpt, which copycat clean removed from the original\nidentical" in printed
    call_copycat("predict", loser, next(tiny.rglob("*.png")))
    call_copycat("runs", sweep)
    call_copycat("resume", sweep)
    call_copycat("report", sweep)
    weights = loser / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])  # damage is still named
    assert [cause.line for cause in rerun(open_recorded(loser), notify=lambda line: None).causes] == [
        "weights.safetensors was changed since it was recorded"
    ]


def test_running_strangers_and_resumable_sweeps_are_left_alone(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(sweep)
    loser = next(sweep / str(number) for number in range(3) if str(number) != best_trial(sweep))
    for spoil, why in (
        (lambda: os.environ.__setitem__("COPYCAT_SETTINGS", str(sweep / "other")), "its signature is not yours"),
        (lambda: (loser / "link").symlink_to("/etc"), "got a link"),
        (lambda: (sweep / "sweep.json").write_text("{}"), "expected the record of a sweep"),
    ):
        kept = os.environ.get("COPYCAT_SETTINGS")
        spoil()
        call_copycat("clean", "runs", "--yes")
        assert why in capsys.readouterr().out
        assert (loser / "checkpoints" / "last.ckpt").exists()
        if kept is not None:
            os.environ["COPYCAT_SETTINGS"] = kept
        (loser / "link").unlink(missing_ok=True)
        (sweep / "sweep.json").write_bytes(before["sweep.json"])


def test_a_locked_sweep_is_left_alone(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(sweep, of="sweep"):
        call_copycat("clean", "runs", "--yes")
    assert "it is running" in capsys.readouterr().out
    assert len(list(sweep.glob("*/checkpoints/*"))) == 6


def test_only_known_files_of_caches_and_of_untrained_runs_go(
    sweep: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, old = tmp_path / "runs", time.time() - 7200
    trained = train_tiny(*WORDS, data=tiny, at=runs).folder
    untrained = [shutil.copytree(trained, trained.with_name(f"12-00-0{number}-abcdef")) for number in range(3)]
    for folder in untrained:
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("weights.safetensors", "predictions.csv", "gallery.json", "metrics.csv"):
            (folder / name).unlink(missing_ok=True)
        write_manifest(folder, {**read_manifest(folder), "status": "interrupted", "results": {}, "files": {}})
    (untrained[1] / "notes.txt").write_text("mine")
    for folder in untrained[:2]:
        os.utime(folder / "run.json", (old, old))  # the third has just begun
    cache, digest = tmp_path / "cache", "0123456789abcdef"
    known = [f"drawn-{digest}.npz", *(f"{name}/{digest * 2}.json" for name in ("digests", "tars"))]
    known += [str(_index_path(b"").relative_to(cache))]
    others = ["notes.txt", "runs/notes.index", "weights/0123.safetensors"]
    for name in (*known, *others):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("x")
    (cache / "features").symlink_to(tmp_path)
    (tmp_path / "precious.safetensors").write_text("x")
    left_behind = runs / "default" / "2026-01-01" / ".12-00-00-abcdef"
    left_behind.mkdir(parents=True)
    os.utime(left_behind, (old, old))
    call_copycat("clean", runs, "--yes", "--only", "caches", "--only", "untrained", "--only", "temporary")
    assert not untrained[0].exists()
    assert untrained[1].exists()
    assert untrained[2].exists()
    assert not left_behind.exists()
    assert (trained / "checkpoints" / "last.ckpt").exists()
    assert not [name for name in known if (cache / name).exists()]
    assert [name for name in others if (cache / name).exists()] == others
    assert (tmp_path / "precious.safetensors").exists()
    assert len(list(sweep.glob("*/checkpoints/*"))) == 6
    (tmp_path / "link").symlink_to(runs)
    capsys.readouterr()
    call_copycat("clean", tmp_path / "link", "--yes", status=2)
    assert f"got a link. Type copycat clean {runs}." in capsys.readouterr().err
    call_copycat("clean", tmp_path / "nowhere", status=2)
    call_copycat("clean", runs, "--only", "everything", status=2)
