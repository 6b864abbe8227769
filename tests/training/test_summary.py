"""What a run prints when it ends."""

import shlex
from pathlib import Path

import pytest

from copycat.inspection.reports.run_page import make_run_page
from copycat.training.summary import PrintedLosses, next_commands, show
from tests.support.runs import QUIET, train_tiny


def test_selected_epochs_are_printed_in_the_lecture_s_form_as_they_end(capsys: pytest.CaptureFixture[str]) -> None:
    printed = PrintedLosses([1, 11, 100])
    for epoch in range(12):
        printed.log_metrics({"train/loss": 1 / (epoch + 1)}, epoch)
        if epoch == 1:
            assert capsys.readouterr().out == "Epoch 1, Loss 0.500000\n"
    printed.finalize("success")
    assert capsys.readouterr().out == "Epoch 11, Loss 0.083333\n"


@pytest.mark.parametrize(("epochs", "lines"), [([0], ["Epoch 0, Loss 1.000000", "Epoch 2, Loss 1.000000"]), ([], [])])
def test_the_last_of_other_epochs_is_printed_too(
    epochs: list[int], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = PrintedLosses(epochs)
    for epoch in range(3):
        printed.log_metrics({"train/loss": 1.0}, epoch)
    printed.finalize("success")
    assert capsys.readouterr().out.splitlines() == lines


def test_by_default_round_epochs_and_the_last_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printed = PrintedLosses(None)
    for epoch in range(61):
        printed.log_metrics({"train/loss": 1.0}, epoch)
    printed.finalize("success")
    epochs = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert epochs == ["0,", "1,", "2,", "5,", "10,", "20,", "50,", "60,"]


def test_the_summary_has_metrics_folder_and_next_commands(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train_tiny("trainer.max_epochs=2", data=tiny, at=tmp_path)
    show(outcome.folder, outcome.manifest)
    out = capsys.readouterr().out
    assert f"{outcome.manifest['results']['final']['val/auroc']:.4f}" in out
    losses = next(line for line in out.splitlines() if line.startswith("│ loss ")).strip("│ ").split("│")
    final, best = outcome.manifest["results"]["final"], outcome.manifest["results"]["best"]
    expected = [final["train/loss"], final["val/loss"], best["metrics"]["train/loss"], best["metrics"]["val/loss"]]
    assert [cell.strip() for cell in losses[1:]] == [f"{value:.4f}" for value in expected]
    assert expected[0] != expected[2]  # the loss of the final weights, and the one during the best epoch
    assert "final weights: evaluated once" in out
    assert "during an epoch: measured before each update" in out
    assert str(outcome.folder) in out.replace("\n", "")
    assert "precision, recall, f1: of class dog" in out
    commands = next_commands(outcome.folder, status=outcome.status)
    for command in ("board", "report", "predict", "rerun"):
        assert f"copycat {command} {outcome.folder}" in commands


def test_no_digit_is_lost_on_a_narrow_terminal(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    show(outcome.folder, outcome.manifest)
    table = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    shown = "".join("".join(cells).replace(" ", "") for cells in zip(*table, strict=True))
    assert f"{outcome.manifest['results']['final']['val/auroc']:.4f}" in shown
    assert "…" not in shown


def test_one_epoch_is_in_the_singular(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    show(outcome.folder, outcome.manifest)
    assert "completed after 1 epoch, " in capsys.readouterr().out


def test_a_run_that_stopped_early_shows_of_how_many_epochs(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=9")
    outcome = train_tiny(*words, "trainer.max_epochs=30", "logger=none", data=tiny, at=tmp_path)
    show(outcome.folder, outcome.manifest, max_epochs=30)
    assert "completed after 2 of 30 epochs, " in capsys.readouterr().out
    assert "completed after 2 of 30 epochs; started" in make_run_page(outcome.folder).summary


@pytest.mark.parametrize("status", [None, "completed", "failed"])
def test_next_commands_can_be_typed_where_the_folder_has_blanks(status: str | None) -> None:
    folder = Path("my out/default")
    for line in next_commands(folder, status=status).removeprefix("next: ").splitlines():
        assert shlex.split(line)[2:3] in ([str(folder)], [])


def test_warnings_about_the_data_are_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from copycat.config.compose import compose
    from copycat.training.train import train

    outcome = train(compose(["trainer.max_epochs=1", "callbacks=none", "logger=none", f"output_dir={tmp_path}"]))
    show(outcome.folder, outcome.manifest)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("data: ")]
    assert "drawn, not photographed" in line
    assert "cat is 34% of train but 66% of val" in line


def test_a_run_whose_first_rank_was_killed_is_shown_without_seconds(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = train_tiny("trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path)
    killed = {"status": "failed", "error": "rank 0 on node7 ended by SIGKILL", "seconds": None}
    show(done.folder, {**done.manifest, **killed}, max_epochs=4)
    assert "\nfailed after 2 of 4 epochs: rank 0 on node7 ended by SIGKILL\n" in capsys.readouterr().out
