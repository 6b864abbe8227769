"""The CSV of a run that was stopped, resumed or extended is that of one that was not."""

import csv
from pathlib import Path

from copycat.inspection.trackers.csv_files import CsvLogger
from copycat.inspection.trackers.tracker import TrackedRun
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from tests.support.runs import train_tiny

WORDS = ["model=logistic", "logger=csv", "callbacks=default", "callbacks.statistics=null"]


def read_rows(folder: Path) -> list[list[str]]:
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_an_extended_run_has_the_rows_of_one_that_was_asked_for_all_epochs(tiny: Path, tmp_path: Path) -> None:
    expected = train_tiny(*WORDS, "trainer.max_epochs=3", data=tiny, at=tmp_path / "all").folder
    folder = train_tiny(*WORDS, "trainer.max_epochs=2", data=tiny, at=tmp_path / "some").folder
    assert read_rows(folder)[-1][0] == "2"  # the metrics of the final weights, which are to go
    resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 3})
    assert read_rows(folder) == read_rows(expected)


def test_each_epoch_has_one_row_with_what_callbacks_measured(tiny: Path, tmp_path: Path) -> None:
    words = ["model=logistic", "logger=csv", "trainer.max_epochs=3", "data.batch_size=4"]
    run = train_tiny(*words, "callbacks.last.every_n_steps=3", data=tiny, at=tmp_path).folder
    header, *rows = read_rows(run)
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    place = header.index("optimizer/weight_norm")
    assert len({row[place] for row in rows[:-1]} - {""}) == 3


def test_a_run_resumed_after_its_last_epoch_adds_to_the_row_of_that_epoch(tmp_path: Path) -> None:
    for run_id, row in ((None, {"train/loss": 0.5}), ("run", {"final/val/confidence": 0.75})):
        logger = CsvLogger(str(tmp_path), save_dir=str(tmp_path / "csv"))
        logger.connect(TrackedRun(config={}, name="run", sweep=None, run_id=run_id))
        logger.send([(3, row)])
    assert read_rows(tmp_path) == [["step", "train/loss", "final/val/confidence"], ["3", "0.5", "0.75"]]
