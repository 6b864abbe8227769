"""What all trackers share: a failing one does not change the run, a resumed run goes on, trials are grouped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from copycat.training.train import RunResult
from tests.support.commands import call_copycat
from tests.support.killed_runs import kill_run, train_killable
from tests.support.run_folders import assert_same_bits
from tests.support.runs import train_tiny
from tests.support.sweeps import tiny_sweep_overrides
from tests.support.trackers import MemoryTracker

LOGGER = "+logger.memory={_target_: tests.support.trackers.MemoryTracker, folder: '{run}'}"
QUICK = ["model=logistic", "trainer.max_epochs=3", "logger=none", "callbacks=none"]
CALLS_BEFORE_TRAINING = 2
"""The connection, and config.yaml."""


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    MemoryTracker.reset()
    yield
    MemoryTracker.reset()


def losses(outcome: RunResult) -> list[tuple[float, float]]:
    return [(row["epoch"], row["train/loss"]) for row in read_history(outcome.folder)]


def sent_losses() -> list[tuple[float, float]]:
    (rows,) = MemoryTracker.rows.values()
    return [(epoch, row["train/loss"]) for epoch, row in rows if "train/loss" in row]


def test_a_tracker_gets_rows_files_and_final_metrics(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny(*QUICK, LOGGER, data=tiny, at=tmp_path)
    assert outcome.status == "completed"
    assert sent_losses() == losses(outcome)
    run_name = str(outcome.folder.relative_to(tmp_path))
    assert MemoryTracker.files[run_name] == {"config.yaml", "metrics.csv", "weights.safetensors"}
    status, final = MemoryTracker.ends[run_name]
    assert status == "completed"
    assert {
        f"final/{key}": value for key, value in outcome.manifest["results"]["final"].items()
    }.items() <= final.items()
    assert MemoryTracker.runs[run_name].sweep is None


def test_an_error_is_reported_and_what_is_missing_is_sent_at_the_end(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = train_tiny(*QUICK, data=tiny, at=tmp_path / "plain")
    MemoryTracker.reset(fails=[CALLS_BEFORE_TRAINING])
    outcome = train_tiny(*QUICK, LOGGER, data=tiny, at=tmp_path)
    assert outcome.status == "completed"
    assert_same_bits(outcome.folder, plain.folder)
    assert capsys.readouterr().err == (
        "copycat: logger memory: ConnectionError: no route to host; the run continues without it,"
        " and tries again at its end\n"
    )
    assert sent_losses() == losses(outcome)


def test_what_callbacks_measured_is_sent_at_the_end_as_well(tiny: Path, tmp_path: Path) -> None:
    sent = []
    for fails in ((), [CALLS_BEFORE_TRAINING]):
        MemoryTracker.reset(fails=fails)
        train_tiny(*QUICK[:-1], LOGGER, data=tiny, at=tmp_path)
        (rows,) = MemoryTracker.rows.values()
        sent.append([(epoch, sorted(row)) for epoch, row in rows if "train/loss" in row])
    assert sent[0] == sent[1]
    assert any(name.startswith("optimizer/") for _, names in sent[0] for name in names)
    ((_, final),) = MemoryTracker.ends.values()
    assert 0 <= final["final/val/ece"] <= 1


@pytest.mark.parametrize("fails", [(), [CALLS_BEFORE_TRAINING]])
def test_what_callbacks_measured_is_of_its_epoch_where_checkpoints_lie_inside_epochs(
    fails: list[int], tiny: Path, tmp_path: Path
) -> None:
    MemoryTracker.reset(fails=fails)
    train_tiny(*QUICK[:-1], LOGGER, "data.batch_size=4", "callbacks.last.every_n_steps=3", data=tiny, at=tmp_path)
    (rows,) = MemoryTracker.rows.values()
    assert [epoch for epoch, row in rows if "optimizer/weight_norm" in row] == [0, 1, 2]
    assert len({row["optimizer/weight_norm"] for _, row in rows if "optimizer/weight_norm" in row}) == 3


def test_a_tracker_that_stays_away_leaves_a_completed_run_and_a_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MemoryTracker.reset(fails=range(CALLS_BEFORE_TRAINING, 100))
    outcome = train_tiny(*QUICK, LOGGER, data=tiny, at=tmp_path)
    assert outcome.status == "completed"
    error, path = "copycat: logger memory: ConnectionError: no route to host;", outcome.folder / "metrics.csv"
    assert capsys.readouterr().err.splitlines() == [
        f"{error} the run continues without it, and tries again at its end",
        f"{error} the run ends without it",
        f"copycat: logger memory: 3 of 3 epochs are missing there; {path} has them.",
    ]


def test_a_tracker_that_cannot_be_reached_at_the_start_fails_the_run(tiny: Path, tmp_path: Path) -> None:
    MemoryTracker.reset(fails=[0])
    outcome = train_tiny(*QUICK, LOGGER, data=tiny, at=tmp_path)
    assert (outcome.status, outcome.manifest["error"]) == ("failed", "ConnectionError: no route to host")
    assert not MemoryTracker.ends


@pytest.mark.parametrize("after", [("batch", 6), ("epoch", 8)])
def test_a_resumed_run_goes_on_in_the_same_run_without_doubled_epochs(
    after: tuple[str, int], tiny: Path, tmp_path: Path
) -> None:
    reference = train_killable(tiny, tmp_path / "plain")
    MemoryTracker.reset()
    folder = kill_run(tiny, tmp_path, LOGGER, after=after)
    (run_id,) = MemoryTracker.runs
    resumed = resume(open_run(folder), notify=lambda line: None)
    assert_same_bits(folder, reference.folder)
    assert [*MemoryTracker.rows] == [run_id]
    assert sent_losses() == losses(resumed)
    assert MemoryTracker.ends[run_id][0] == "completed"


def test_trials_are_grouped_by_their_sweep_alone_and_in_a_pack(tiny: Path, tmp_path: Path) -> None:
    words = [word for word in tiny_sweep_overrides(tiny) if word != "logger=none"]
    sent = {}
    for launcher in ("basic", "packed"):
        MemoryTracker.reset()
        more = [] if launcher == "basic" else ["hydra/launcher=packed"]
        where = [f"output_dir={tmp_path}", f"sweep.folder={tmp_path / launcher}"]
        call_copycat("train", "-m", *words, "logger=none", LOGGER, "optimizer.lr=0.1,0.01", *where, *more)
        assert {run.sweep for run in MemoryTracker.runs.values()} == {launcher}
        assert sorted(MemoryTracker.rows) == [f"{launcher}/0", f"{launcher}/1"]
        assert {status for status, _ in MemoryTracker.ends.values()} == {"completed"}
        assert all("weights/first_layer" in tags for tags in MemoryTracker.images.values())
        sent[launcher] = [[sorted(row) for _, row in rows] for _, rows in sorted(MemoryTracker.rows.items())]
    assert sent["basic"] == sent["packed"]


def test_a_missing_package_is_one_line_before_there_is_a_folder(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryTracker, "package", "not_installed")
    with pytest.raises(UserError, match=r"logger.memory: expected not_installed; .* Type pip install"):
        train_tiny(*QUICK, LOGGER, data=tiny, at=tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_run_that_fails_in_training_is_failed_in_the_tracker(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny(*QUICK, LOGGER, "optimizer.lr=1e40", data=tiny, at=tmp_path)
    assert read_manifest(outcome.folder)["status"] == "failed"
    assert [status for status, _ in MemoryTracker.ends.values()] == ["failed"]
