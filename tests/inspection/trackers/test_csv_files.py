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


def test_each_epoch_has_one_row_with_what_callbacks_measured(tiny: Path, tmp_path: Path) -> None:
    words = ["model=logistic", "logger=csv", "trainer.max_epochs=3", "data.batch_size=4"]
    run = train_tiny(*words, "callbacks.last.every_n_steps=3", data=tiny, at=tmp_path).folder
    header, *rows = read_rows(run)
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    place = header.index("optimizer/weight_norm")
    assert len({row[place] for row in rows[:-1]} - {""}) == 3
