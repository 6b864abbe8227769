"""`copycat inspect --schedule` shows the rates that torch's schedulers give, without training."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.optim import lr_scheduler

from copycat.config.compose import compose
from copycat.inspection.schedule import _print, compute_schedule
from copycat.inspection.terminal_plot import sparkline
from tests.support.commands import call_copycat


def words_of(tiny: Path) -> list[str]:
    return ["data=folder", f"data.root={tiny}", "data.image_size=8", "data.batch_size=6", "trainer.max_epochs=5"]


def test_a_plotted_schedule_has_the_rates_of_torch_s_scheduler(tiny: Path) -> None:
    found = compute_schedule(compose([*words_of(tiny), "scheduler=one_cycle", "optimizer=adam"]).config)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=15)  # 16 images in batches of 6
    for rate, momentum in zip(found.rates, found.momenta, strict=True):
        assert (rate, momentum) == (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        scheduler.step()
    assert found.per_epoch == 3


@pytest.mark.parametrize(
    ("scheduler", "values", "title"),
    [
        ("one_cycle", 7, "one_cycle: 3 epochs of 3 steps, 7 steps in all, one value per step"),
        ("cosine", 3, "CosineAnnealingLR: 3 epochs, one value per epoch"),
    ],
)
def test_a_schedule_ends_with_the_run_s_last_step(
    scheduler: str, values: int, title: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose([*words_of(tiny), "+trainer.max_steps=7", f"scheduler={scheduler}", "optimizer=adam"]).config
    schedule = compute_schedule(config)
    assert len(schedule.rates) == values
    _print(schedule, [schedule.row(place) for place in range(values)])
    assert capsys.readouterr().out.startswith(f"{title}\n")


def test_the_command_prints_a_table_and_draws_a_picture(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call_copycat("inspect", *words_of(tiny), "--schedule", "scheduler=warmup_cosine", "optimizer.lr=0.5")
    shown = capsys.readouterr().out
    assert "5 epochs of 3 steps, one value per step" in shown
    assert "0.005 " in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["schedule.png"]
    with Image.open(tmp_path / "schedule.png") as picture:
        assert picture.width > 500


def test_numbers_are_printed_whole_and_without_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--schedule", "scheduler=multi_step", "trainer.max_epochs=4", "optimizer.lr=0.3"]
    call_copycat("inspect", *words, "--csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["learning_rate"]) for row in rows] == [0.3, 0.3, 0.3 * 0.1, 0.3 * 0.1 * 0.1]
    call_copycat("inspect", *words, "--json")
    printed: Any = json.loads(capsys.readouterr().out)
    assert printed["scheduler"]["milestones"] == [2, 3]
    assert [row["epoch"] for row in printed["rows"]] == [0, 1, 2, 3]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--schedule", "scheduler=plateau"], "known before training; got plateau"),
        (["--schedule", "+trainer.max_steps=0"], "--schedule: expected a run that trains; got trainer.max_steps=0."),
        (["--schedule", "--to", "nowhere/a.png"], "--to: expected a file to write to; got nowhere/a.png"),
        (["--csv"], "--csv: expected --schedule, --lr-find or --batch-size beside it"),
        (["--steps", "20"], "--steps: expected --lr-find beside it"),
        (["--lr-find", "--min-lr", "1", "--max-lr", "0.1"], "--max-lr: expected more than --min-lr=1; got 0.1"),
        (["--lr-find", "--schedule"], "expected alone"),
        (["--weights", "outputs", "model=deep"], "--weights: expected the folder of a run alone; got 'model=deep'"),
    ],
)
def test_flags_that_do_not_fit_are_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("inspect", *words, status=2)
    assert message in capsys.readouterr().err


def test_a_curve_in_the_terminal_rises_from_zero_to_its_largest_value() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5.0] * 4) == "████"
    assert len(sparkline([1.0] * 1000)) == 72
