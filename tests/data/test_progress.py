"""Work in threads: results in order, and a bar only where it takes long."""

import pytest

from copycat.data import progress


def test_results_come_in_order_and_nothing_is_printed_for_a_moment_of_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_DELAY", 60.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    squares = list(progress.parallel_map(lambda index: index * index, 500, what="Squaring"))
    assert squares == [index * index for index in range(500)]
    assert capsys.readouterr() == ("", "")


def test_long_work_shows_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_DELAY", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(progress.parallel_map(lambda index: index, 50, what="Reading train"))
    told = capsys.readouterr()
    assert "Reading train" in told.err
    assert told.out == ""
