"""metrics.csv: every number reads back to its bits."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.records.background_writer import BackgroundWriter
from copycat.records.metrics_csv import digest_rows, history_digest, read_history
from copycat.training.history import MetricsCSVLogger


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5))
def test_every_float32_reads_back_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    history = MetricsCSVLogger(folder, ["train/loss"], BackgroundWriter())
    for epoch, value in enumerate(values):
        history.log_metrics({"train/loss": value}, epoch)
    history.finalize("success")
    read = [row["train/loss"] for row in read_history(folder)]
    assert [struct.pack("f", value) for value in read] == [struct.pack("f", value) for value in values]


def test_purging_an_epoch_leaves_the_rows_before_it(tmp_path: Path) -> None:
    history = MetricsCSVLogger(tmp_path, ["train/loss"], BackgroundWriter())
    for epoch in range(4):
        history.log_metrics({"train/loss": 1 / (epoch + 1)}, epoch)
    history.finalize("success")
    MetricsCSVLogger(tmp_path, ["train/loss"], BackgroundWriter()).purge(2)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss\n0,1.0\n1,0.5\n"


def test_an_epoch_without_validation_leaves_its_cells_empty(tmp_path: Path) -> None:
    history = MetricsCSVLogger(tmp_path, ["train/loss", "val/loss"], BackgroundWriter())
    history.log_metrics({"train/loss": 0.5}, 0)
    history.log_metrics({"train/loss": 0.25, "val/loss": 1.0}, 1)
    history.finalize("success")
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss,val/loss\n0,0.5,\n1,0.25,1.0\n"
    assert read_history(tmp_path)[0] == {"epoch": 0, "train/loss": 0.5}


@given(
    st.lists(st.tuples(*[st.one_of(st.none(), st.floats(allow_nan=False))] * 3), max_size=6), st.sampled_from("abcd")
)
def test_rows_that_have_a_metric_are_found(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[float | None, ...]], name: str
) -> None:
    folder = tmp_path_factory.mktemp("history")
    history = MetricsCSVLogger(folder, ["a", "b", "c"], BackgroundWriter())
    rows = [{n: v for n, v in zip("abc", values, strict=True) if v is not None} for values in table]
    history.log_epochs(0, rows)
    history.finalize("success")
    every = read_history(folder)
    assert [{n: v for n, v in row.items() if n != "epoch"} for row in every] == rows
    assert read_history(folder, having=name) == [row for row in every if name in row]


@pytest.mark.parametrize("cut", ["7,0.1", "7,0.12345,", "7"])
def test_a_row_that_was_cut_short_is_dropped_at_the_end(cut: str, tmp_path: Path) -> None:
    history = MetricsCSVLogger(tmp_path, ["train/loss", "val/loss"], BackgroundWriter())
    history.log_metrics({"train/loss": 0.5}, 0)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(cut)
    assert len(read_history(tmp_path)) == 1
    history.finalize("failed")
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss,val/loss\n0,0.5,\n"


def test_a_row_is_whole_on_disk_once_it_is_written(tmp_path: Path) -> None:
    history = MetricsCSVLogger(tmp_path, ["train/loss"], BackgroundWriter())
    history.log_metrics({"train/loss": 0.5}, 0)
    assert len(read_history(tmp_path)) == 1
    history.finalize("success")


def test_the_digest_tells_two_histories_apart(tmp_path: Path) -> None:
    digests = set()
    for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.5000001)):
        (tmp_path / name).mkdir()
        history = MetricsCSVLogger(tmp_path / name, ["train/loss"], BackgroundWriter())
        history.log_metrics({"train/loss": value}, 0)
        history.finalize("success")
        digests.add(history_digest((tmp_path / name / "metrics.csv").read_bytes()))
    assert len(digests) == 2


@pytest.mark.parametrize("ending", ["", "2,0.3\n", "2,0.", "2"], ids=["", "a later row", "a part of one", "less of it"])
def test_rows_have_the_same_digest_whatever_follows_them(ending: str, tmp_path: Path) -> None:
    rows = "epoch,train/loss\n0,0.5\n1,0.4\n"
    (tmp_path / "metrics.csv").write_text(rows + ending)
    assert digest_rows(tmp_path, 2) == history_digest(rows.encode())
    assert digest_rows(tmp_path, 4) is None
