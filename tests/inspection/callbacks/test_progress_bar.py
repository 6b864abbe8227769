"""The progress bar: there in a terminal, silent in a pipe; tests/integration/test_notebook.py has a notebook's."""

from pathlib import Path

import pytest

from tests.support.runs import train_tiny

WORDS = ("logger=none", "trainer.max_epochs=30")


def test_in_a_pipe_nothing_is_drawn(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_tiny(*WORDS, data=tiny, at=tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_in_a_terminal_epochs_and_loss_are_drawn_on_standard_error(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("TERM", "xterm")
    train_tiny(*WORDS, data=tiny, at=tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert "/30" in err
    assert "loss 0." in err


def test_a_command_of_a_notebook_cell_draws_nothing(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as ipykernel sets both
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    train_tiny(*WORDS, data=tiny, at=tmp_path)
    assert capfd.readouterr().err == ""
