"""Hydra's multirun, as a user types it."""

import json
from pathlib import Path

from copycat.records.metrics_csv import read_history
from tests.support.commands import CompletedCommand, run_copycat


def _train(*words: str, data: Path, at: Path) -> CompletedCommand:
    return run_copycat("train", "data=folder", f"data.root={data}", "data.image_size=8", *words, at=at)


def test_a_sweep_makes_a_run_folder_a_trial(tiny: Path, tmp_path: Path) -> None:
    done = _train("-m", "seed=0,1", "optimizer=sgd,adam", "trainer.max_epochs=2", data=tiny, at=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = sorted(tmp_path.glob("outputs/sweep/*/*/[0-9]"))
    assert [trial.name for trial in trials] == ["0", "1", "2", "3"]
    for trial in trials:
        manifest = json.loads((trial / "run.json").read_text())
        assert manifest["status"] == "completed"
        assert len(read_history(trial)) == 2


def test_a_trial_of_a_sweep_has_the_bits_of_the_same_run_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[4]", "data.batch_size=5", "data.shuffle=true", "trainer.max_epochs=2")
    _train("-m", *words, "seed=0,1,2", "optimizer=adam", data=tiny, at=tmp_path)
    _train(*words, "seed=2", "optimizer=adam", data=tiny, at=tmp_path)
    (trial,) = tmp_path.glob("outputs/sweep/*/*/2/metrics.csv")
    (alone,) = tmp_path.glob("outputs/default/*/*/metrics.csv")
    assert trial.read_bytes() == alone.read_bytes()


def test_a_sweep_lands_where_it_is_told_to_even_beside_an_apostrophe(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    folder.mkdir()
    done = _train("-m", "seed=0,1", "trainer.max_epochs=1", f'output_dir="{folder}"', data=tiny, at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("sweep/*/*/[01]/run.json"))) == 2
    assert not (tmp_path / "outputs").exists()


def test_the_table_of_runs_lists_every_trial(tiny: Path, tmp_path: Path) -> None:
    _train("-m", "seed=3,4", "trainer.max_epochs=1", data=tiny, at=tmp_path)
    done = run_copycat("runs", at=tmp_path)
    lines = [line for line in done.stdout.splitlines() if "completed" in line]
    assert len(lines) == 2
    assert "seed=3" in lines[0]
    assert "seed=4" in lines[1]
