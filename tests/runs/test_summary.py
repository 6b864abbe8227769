"""What a run prints when it ends."""

from pathlib import Path

import pytest

from copycat.runs.history import History
from copycat.runs.summary import losses, show
from tests.runs.asking import run


def _history(folder: Path, epochs: int) -> None:
    history = History(folder, ["train/loss"])
    for epoch in range(epochs):
        history.log_metrics({"train/loss": 1 / (epoch + 1)}, epoch)
    history.finalize("success")


def test_asked_epochs_are_printed_in_the_lecture_s_form(tmp_path: Path) -> None:
    _history(tmp_path, 12)
    assert losses(tmp_path, [1, 11, 100]) == ["Epoch 1, Loss 0.500000", "Epoch 11, Loss 0.083333"]


def test_unasked_the_first_the_last_and_round_ones_are(tmp_path: Path) -> None:
    _history(tmp_path, 61)
    epochs = [line.split()[1] for line in losses(tmp_path, None)]
    assert epochs == ["0,", "1,", "2,", "5,", "10,", "20,", "50,", "60,"]


def test_the_summary_tells_metrics_place_and_what_to_type(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run("trainer.max_epochs=2", data=tiny, at=tmp_path)
    show(outcome.folder, None)
    out = capsys.readouterr().out
    assert "Epoch 1, Loss " in out
    assert f"{outcome.manifest['came_out']['final']['val/auroc']:.4f}" in out
    assert str(outcome.folder) in out.replace("\n", "")
    assert f"copycat board {outcome.folder}" in out.replace("\n", "")


def test_what_is_odd_about_the_data_stands_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from copycat.config.compose import compose
    from copycat.runs.train import train

    outcome = train(compose(["trainer.max_epochs=1", "callbacks=none", "logger=none", f"output_dir={tmp_path}"]))
    show(outcome.folder, None)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("data: ")]
    assert "drawn, not photographed" in line
    assert "cat is 34% of train but 66% of val" in line
