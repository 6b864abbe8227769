"""The CSV of a run that was stopped, resumed or extended is that of one that was not."""

import csv
from pathlib import Path

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
