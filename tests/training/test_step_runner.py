"""Clipped and accumulated gradients and scheduled learning rates give the bits of a loop in plain PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.records.metrics_csv import read_history
from tests.support.plain_loop import (
    Loop,
    build_classifier_by_hand,
    format_bits,
    read_images,
    read_loss_bits,
    train_quick,
    with_momentum,
)

pytestmark = pytest.mark.usefixtures("threads")


@pytest.mark.parametrize(
    ("algorithm", "most", "clip"),
    [
        ("norm", 1e-3, lambda parameters: nn.utils.clip_grad_norm_(parameters, 1e-3)),
        ("value", 1e-4, lambda parameters: nn.utils.clip_grad_value_(parameters, 1e-4)),
    ],
)
def test_clipped_gradients_give_the_loop_s_bits(
    algorithm: str, most: float, clip: Callable[[Any], Any], pets: Path, tmp_path: Path
) -> None:
    words = ["model=shallow", "optimizer=momentum", "trainer.max_epochs=5", "data.batch_size=16"]
    clipping = [f"trainer.gradient_clip_val={most}", f"trainer.gradient_clip_algorithm={algorithm}"]
    loops = []
    for clipper in (clip, lambda parameters: None):
        torch.manual_seed(123)
        model = build_classifier_by_hand([13], pixels=192)
        loops.append(Loop(model, read_images(pets, "train"), with_momentum, epochs=5, size=16, clip=clipper).losses)
    assert read_loss_bits(train_quick(pets, tmp_path, *words, *clipping)) == format_bits(loops[0])
    assert loops[0] != loops[1], "the limit must bite"


@pytest.mark.parametrize("accumulate", [3, 4])
def test_accumulated_gradients_give_the_loop_s_bits(accumulate: int, pets: Path, tmp_path: Path) -> None:
    """Of 40 images in batches of 7 there are 6: with 4 the last step of an epoch has 2 of them."""
    words = ["model=shallow", "optimizer=adam", "trainer.max_epochs=4", "data.batch_size=7"]
    torch.manual_seed(123)
    model, data = build_classifier_by_hand([13], pixels=192), read_images(pets, "train")
    loop = Loop(model, data, torch.optim.Adam, epochs=4, size=7, accumulate=accumulate)
    assert read_loss_bits(
        train_quick(pets, tmp_path, *words, f"trainer.accumulate_grad_batches={accumulate}")
    ) == format_bits(loop.losses)


@pytest.mark.parametrize("steps", ["1", "null"])
@pytest.mark.parametrize("model", [("model=shallow",), ("model=cnn", "model.channels=[4]", "model.dropout=0")])
def test_accumulated_batches_make_the_step_of_one_large_batch(
    model: tuple[str, ...], steps: str, pets: Path, tmp_path: Path
) -> None:
    """40 images: 10 batches of 4 in twos, and 5 batches of 8."""
    words = (*model, "optimizer=adam", "trainer.max_epochs=5", f"trainer.steps_per_execution={steps}")
    small = train_quick(pets, tmp_path, *words, "data.batch_size=4", "trainer.accumulate_grad_batches=2")
    large = train_quick(pets, tmp_path, *words, "data.batch_size=8")
    assert small.manifest["results"]["steps"] == large.manifest["results"]["steps"] == 25
    losses = [[row["train/loss_mean"] for row in read_history(run.folder)] for run in (small, large)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    weights = [load_file(run.folder / "weights.safetensors") for run in (small, large)]
    for name, tensor in weights[0].items():
        assert torch.allclose(tensor, weights[1][name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", ["1", "null"])
def test_a_last_window_of_fewer_batches_is_divided_by_the_whole_window(steps: str, pets: Path, tmp_path: Path) -> None:
    """As Lightning does: of 40 images in batches of 16 the third, of 8, is alone, and its gradient is halved."""
    words = ["model=logistic", "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_epochs=1"]
    words += ["data.batch_size=16", "trainer.accumulate_grad_batches=2", f"trainer.steps_per_execution={steps}"]
    found = load_file(train_quick(pets, tmp_path, *words).folder / "weights.safetensors")
    torch.manual_seed(123)
    model, (images, labels) = build_classifier_by_hand([], pixels=192), read_images(pets, "train")
    linear = model[1]
    for places in (slice(0, 32), slice(32, 40)):
        loss = nn.functional.binary_cross_entropy(model(images[places]), labels[places].float()[:, None])
        gradients = torch.autograd.grad(loss, [linear.weight, linear.bias])
        share = 1.0 if places.start == 0 else 0.5
        with torch.no_grad():
            for parameter, gradient in zip([linear.weight, linear.bias], gradients, strict=True):
                parameter -= 0.1 * share * gradient
    (weight, bias) = (next(v for k, v in found.items() if k.endswith(end)) for end in ("weight", "bias"))
    assert torch.allclose(weight, linear.weight, atol=1e-7)
    assert torch.allclose(bias, linear.bias, atol=1e-7)


SCHEDULES: dict[str, tuple[list[str], Callable[[Optimizer], Any], list[float]]] = {
    "constant": ([], lambda _: None, [1.0] * 6),
    "step": (
        ["scheduler.step_size=2"],
        lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=2),
        [1.0, 1.0, 0.1, 0.1, 0.01, 0.01],
    ),
    "cosine": (
        [],
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=6),
        [(1 + np.cos(np.pi * epoch / 6)) / 2 for epoch in range(6)],
    ),
    "warmup": (
        [],
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
        [0.1, 0.28, 0.46, 0.64, 0.82, 1.0],
    ),
    "polynomial": (
        ["scheduler.power=2"],
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=6, power=2),
        [(1 - epoch / 6) ** 2 for epoch in range(6)],
    ),
    "exponential": (
        ["scheduler.gamma=0.5"],
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.5),
        [0.5**epoch for epoch in range(6)],
    ),
    "multi_step": (
        ["scheduler.milestones=[0.5,5]"],
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=[3, 5]),
        [1.0, 1.0, 1.0, 0.1, 0.1, 0.01],
    ),
    "sequence": (
        ["scheduler/second=step", "scheduler.second.step_size=2", "scheduler.milestone=2"],
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o,
            [
                torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=2),
                torch.optim.lr_scheduler.StepLR(o, step_size=2),
            ],
            [2],
        ),
        [0.1, 0.55, 1.0, 1.0, 0.1, 0.1],
    ),
    "plateau": (
        ["scheduler.patience=1", "scheduler.threshold=0.9", "scheduler.factor=0.5"],
        lambda o: ReduceLROnPlateau(o, patience=1, threshold=0.9, factor=0.5),
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25],
    ),
}


@pytest.mark.parametrize("scheduler", SCHEDULES)
def test_scheduled_learning_rates_give_the_loop_s_bits(scheduler: str, pets: Path, tmp_path: Path) -> None:
    words, schedule, factors = SCHEDULES[scheduler]
    torch.manual_seed(123)
    model, data, val = build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), read_images(pets, "val")
    loop = Loop(model, data, torch.optim.Adam, epochs=6, size=16, schedule=schedule, val=val)
    assert loop.rates == pytest.approx([1e-3 * factor for factor in factors], rel=1e-5)
    asked = ["model=shallow", "optimizer=adam", f"scheduler={scheduler}", "trainer.max_epochs=6", "data.batch_size=16"]
    assert read_loss_bits(train_quick(pets, tmp_path, *asked, *words)) == format_bits(loop.losses)


def test_a_plateau_counts_validations_where_not_every_epoch_has_one(pets: Path, tmp_path: Path) -> None:
    words, schedule, _ = SCHEDULES["plateau"]
    torch.manual_seed(123)
    model, data, val = build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), read_images(pets, "val")
    loop = Loop(model, data, torch.optim.Adam, epochs=8, schedule=schedule, val=val, val_every=2)
    assert loop.rates == [1e-3] * 6 + [5e-4] * 2
    asked = ["model=shallow", "optimizer=adam", "scheduler=plateau", "trainer.max_epochs=8"]
    assert read_loss_bits(
        train_quick(pets, tmp_path, *asked, *words, "trainer.check_val_every_n_epoch=2")
    ) == format_bits(loop.losses)


BY_STEP: dict[str, Callable[[Optimizer], Any]] = {  # of 3 epochs of 3 steps
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=9),
    "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1e-3, total_steps=9),
    "warmup_cosine": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, start_factor=0.01, total_iters=3),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=6),
        ],
        [3],
    ),
}


@pytest.mark.parametrize("scheduler", BY_STEP)
def test_a_schedule_by_the_step_is_as_long_as_the_run_and_gives_the_loop_s_bits(
    scheduler: str, pets: Path, tmp_path: Path
) -> None:
    torch.manual_seed(123)
    model, data = build_classifier_by_hand([13], pixels=192), read_images(pets, "train")
    loop = Loop(model, data, torch.optim.Adam, epochs=3, size=16, schedule=BY_STEP[scheduler], each_step=True)
    assert len(set(loop.rates)) == 3
    words = ["model=shallow", "optimizer=adam", f"scheduler={scheduler}", "scheduler.interval=step"]
    words += ["scheduler.warmup=1"] if scheduler == "warmup_cosine" else []
    found = train_quick(pets, tmp_path, *words, "data.batch_size=16", "trainer.max_epochs=3")
    assert read_loss_bits(found) == format_bits(loop.losses)


def test_a_plateau_after_a_warm_up_gives_the_bits_of_a_loop_that_does_one_after_the_other(
    pets: Path, tmp_path: Path
) -> None:
    class WarmupThenPlateau(ReduceLROnPlateau):
        def __init__(self, optimizer: Optimizer) -> None:
            super().__init__(optimizer, patience=1, threshold=0.9, factor=0.5)
            self.warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=2)

        def step(self, metrics: Any, epoch: Any = None) -> None:  # type: ignore[override]
            if self.warmup.last_epoch == 2:
                super().step(metrics)
            else:
                self.warmup.step()
            if self.warmup.last_epoch == 2 and self.last_epoch == 0:
                self.optimizer.param_groups[0]["lr"] = 1e-3  # without the rounding of the warm-up

    torch.manual_seed(123)
    model, data, val = build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), read_images(pets, "val")
    loop = Loop(model, data, torch.optim.Adam, epochs=7, size=16, schedule=WarmupThenPlateau, val=val)
    assert loop.rates == pytest.approx([1e-4, 5.5e-4, 1e-3, 1e-3, 1e-3, 5e-4, 5e-4])
    words = [f"scheduler.second.{word}" for word in ("patience=1", "threshold=0.9", "factor=0.5")]
    asked = ["scheduler=sequence", "scheduler/second=plateau", "scheduler.milestone=2", *words]
    asked += ["model=shallow", "optimizer=adam", "trainer.max_epochs=7", "data.batch_size=16"]
    assert read_loss_bits(train_quick(pets, tmp_path, *asked)) == format_bits(loop.losses)


def test_a_warm_up_by_the_step_gives_the_loop_s_bits(pets: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    loop = Loop(
        build_classifier_by_hand([13], pixels=192),
        read_images(pets, "train"),
        torch.optim.Adam,
        epochs=3,
        size=16,
        schedule=lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
        each_step=True,
    )
    assert loop.rates == pytest.approx([1e-4, 6.4e-4, 1e-3])
    words = ["model=shallow", "optimizer=adam", "scheduler=warmup", "scheduler.interval=step", "data.batch_size=16"]
    assert read_loss_bits(train_quick(pets, tmp_path, *words, "trainer.max_epochs=3")) == format_bits(loop.losses)
