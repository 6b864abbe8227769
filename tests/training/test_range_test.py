"""A range test finds the rate at which the loss falls fastest, and leaves everything as it was."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from copycat.config.compose import compose
from copycat.training.range_test import RangeTest, run_range_test
from tests.support.commands import call_copycat
from tests.support.killed_runs import assert_same_folders
from tests.support.plain_loop import build_classifier_by_hand, read_images
from tests.support.runs import compose_quickly, train_tiny

SMALL = ("model=shallow", "model.hidden=[4]", "optimizer=adam", "data.batch_size=4", "trainer.threads=1")


def words_of(tiny: Path) -> list[str]:
    return ["data=folder", f"data.root={tiny}", "data.image_size=8", *SMALL]


def test_the_losses_are_those_of_a_plain_loop_whose_rate_grows(tiny: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "data.shuffle=false", "data.batch_size=4"]
    words += ["model=shallow", "model.hidden=[4]", "optimizer=adam", "scheduler=one_cycle", "trainer.threads=1"]
    found = run_range_test(compose_quickly(words).config, least=1e-4, most=1e-1, steps=10)
    torch.manual_seed(123)
    model, (images, labels) = build_classifier_by_hand([4], pixels=192), read_images(tiny, "train")
    optimizer, losses = torch.optim.Adam(model.parameters()), []
    for step in range(10):
        optimizer.param_groups[0]["lr"] = found.rates[step]
        place = 4 * (step % 4)
        loss = torch.nn.BCELoss()(model(images[place : place + 4]), labels[place : place + 4].float()[:, None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert found.losses == losses
    assert found.rates == pytest.approx([1e-4 * 10 ** (step / 3) for step in range(10)])
    assert not found.diverged


def test_a_run_after_a_range_test_in_the_same_process_is_that_of_a_run_without(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "augmentation=light", "trainer.max_epochs=2"]
    reference = train_tiny(*words, data=tiny, at=tmp_path / "without").folder
    states: Any = torch.get_rng_state(), np.random.get_state(), random.getstate()
    before = sorted(tmp_path.rglob("*"))
    config = compose([*words_of(tiny), "augmentation=light"]).config
    found = run_range_test(config, least=1e-5, most=1.0, steps=20)
    assert len(found.losses) == 20
    assert sorted(tmp_path.rglob("*")) == before
    assert torch.equal(torch.get_rng_state(), states[0])
    after: Any = np.random.get_state()
    assert (after[1] == states[1][1]).all()
    assert after[2:] == states[1][2:]
    assert random.getstate() == states[2]
    folder = train_tiny(*words, data=tiny, at=tmp_path / "after").folder
    assert_same_folders(folder, reference)


def test_a_range_test_is_repeated_to_the_same_bits_and_stops_where_the_loss_diverges(tiny: Path) -> None:
    config = compose([*words_of(tiny), "optimizer=sgd", "loss=mse"]).config
    a, b = (run_range_test(config, least=1e-6, most=1e6, steps=60) for _ in "ab")
    assert a == b
    assert a.diverged
    assert len(a.losses) < 60
    assert len(a.rates) == len(a.losses)
    assert all(map(math.isfinite, a.losses))


def make_descent(*, at: float, noise: float = 0.0) -> RangeTest:
    """A loss that falls from 1 to 0.2 around a rate and rises steeply after it."""
    rates = np.geomspace(1e-6, 10, 100)
    decades = np.log10(rates / at)
    losses = 0.6 - 0.4 * np.tanh(2 * decades) + 0.05 * np.exp(4 * (decades - 1.5))
    return RangeTest(rates.tolist(), (losses + noise * np.random.default_rng(0).normal(size=100)).tolist(), False)


@pytest.mark.parametrize("at", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_suggestion_is_where_the_loss_falls_fastest(at: float, noise: float) -> None:
    suggestion = make_descent(at=at, noise=noise).suggestion
    assert suggestion is not None
    assert abs(math.log10(suggestion / at)) < 0.3


def test_nothing_is_suggested_where_the_loss_does_not_fall() -> None:
    losses = 0.7 + 0.02 * np.random.default_rng(1).normal(size=100)
    assert RangeTest(np.geomspace(1e-6, 1, 100).tolist(), losses.tolist(), False).suggestion is None


def test_the_command_prints_the_line_to_type(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "optimizer=momentum", "optimizer.lr=3"]
    call_copycat("inspect", "--lr-find", *words, "--max-lr", "0.05")
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "picture: lr-find.png"
    assert shown[-2].startswith(
        f"next: copycat train data=folder data.root={tiny} data.image_size=8 optimizer=momentum"
    )
    assert "optimizer.lr=3" not in shown[-2]
    assert 1e-6 < float(shown[-2].rpartition("optimizer.lr=")[2]) < 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["lr-find.png"]
    call_copycat("inspect", "--lr-find", *words, "--steps", "12", "--max-lr", "1e-3")  # the loss falls to the last step
    assert ", no end of the descent: raise --max-lr\n" in capsys.readouterr().out
    call_copycat("inspect", "--lr-find", *words, "--steps", "12", "--json", "--to", "other.png")
    printed: Any = json.loads(capsys.readouterr().out)
    assert len(printed["rows"]) == 12
    assert (tmp_path / "other.png").exists()
