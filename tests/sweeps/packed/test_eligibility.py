"""A trial is packed only where a pack trains it as a single run does."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from copycat.config.compose import compose
from copycat.models.losses import BCE
from copycat.sweeps.packed.eligibility import why_not_packable
from copycat.training.components import build_components
from tests.support.packs import (
    PACKED,
    assert_losses_agree,
    data_overrides,
    pack_of,
    read_trials,
    run_sweep,
)


def test_trials_with_mixing_augmentations_are_not_packed(tiny: Path) -> None:
    config = compose([*data_overrides(tiny, tiny)[:-1], "augmentation=cutmix"]).config
    assert why_not_packable(config, build_components(config)) == "an augmentation that mixes images"


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("trainer.compile=true", "trainer.compile=True"),
        ("trainer.channels_last=true", "trainer.channels_last=True"),
        ("trainer.activation_checkpointing=true", "trainer.activation_checkpointing=True"),
        ("trainer.precision=bf16-mixed", "trainer.precision=bf16-mixed"),
        ("trainer.limit_train_batches=1", "trainer.limit_train_batches=1"),
        ("trainer.limit_val_batches=1", "trainer.limit_val_batches=1"),
        ("trainer.limit_train_batches=1.0", None),
        ("trainer.compile=false", None),
    ],
)
def test_trials_whose_trainer_works_in_another_way_are_not_packed(word: str, why: str | None, tiny: Path) -> None:
    assert why_not_packable(compose([*data_overrides(tiny, tiny)[:-1], "model=cnn", word]).config) == why


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["monitor=val/loss"], None),
        (["monitor=val/loss", "check_on_train_epoch_end=true"], ".check_on_train_epoch_end=True"),
        (["monitor=train/loss"], ".monitor=train/loss"),  # Lightning sees that of the epoch before
        (["monitor=val/loss", "strict=false"], ".strict=False"),
    ],
)
def test_early_stopping_that_checks_other_epochs_than_a_pack_is_not_packed(
    words: list[str], why: str | None, tiny: Path
) -> None:
    node = "callbacks.early_stopping"
    given = ["callbacks=early_stopping", "trainer.check_val_every_n_epoch=2", *(f"++{node}.{word}" for word in words)]
    config = compose([*data_overrides(tiny, tiny)[:-1], *given]).config
    assert why_not_packable(config) == (None if why is None else f"{node}{why}")
    each = {**config, "trainer": {**config["trainer"], "check_val_every_n_epoch": 1}}
    assert (why_not_packable(each) is None) == ("strict" not in str(why))


class Halves(nn.Module):
    """Represent a custom network that weights two halves of an image separately."""

    def __init__(self, *, in_features: int, out_features: int, **others: Any) -> None:
        super().__init__()
        self.middle = in_features // 2
        self.left, self.right = nn.Linear(self.middle, out_features), nn.Linear(in_features - self.middle, out_features)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.flatten(1)[:, : self.middle], x.flatten(1)[:, self.middle :]
        logits: Tensor = self.left(left) + self.right(right).tanh()
        return logits


class Draws(Halves):
    """Draw random numbers by a function, of which no layer tells."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, self.training)


class DrawsElsewhere(Halves):
    """Draw random numbers by NumPy."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * np.random.uniform()


class Counts(Halves):
    """Count its steps, as for a warm-up of its own."""

    _steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self._steps += 1
        return super().forward(x) * min(1.0, self._steps / 100)


class HasGradientHook(Halves):
    """Freeze a weight by a hook on its gradient."""

    def __init__(self, *, in_features: int, out_features: int, **others: Any) -> None:
        super().__init__(in_features=in_features, out_features=out_features)
        self.left.weight.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]


class KeepsOutput(Halves):
    """Keep what a layer returns, by a hook that refers to this network, in copies too."""

    def __init__(self, *, in_features: int, out_features: int, **others: Any) -> None:
        super().__init__(in_features=in_features, out_features=out_features)
        self.left.register_forward_hook(lambda _, inputs, output: setattr(self, "kept", output))


class Branches(BCE):
    """Branch on the loss, which torch.func cannot batch over trials."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        loss = super().forward(logits, label)
        return 2 * loss if loss.item() > 0.6 else loss


class Doubles(BCE):
    """Represent a loss that torch.func can batch."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return 2 * super().forward(logits, label)


class Normalized(torch.optim.SGD):
    """Divide all gradients by their common norm."""


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (f"model._target_={__name__}.Halves", None),
        (f"model._target_={__name__}.Draws", "Draws draws random numbers"),
        (f"model._target_={__name__}.DrawsElsewhere", "DrawsElsewhere draws random numbers"),
        (f"model._target_={__name__}.Counts", "Counts changes its attribute _steps in each step"),
        (f"model._target_={__name__}.HasGradientHook", "HasGradientHook has hooks"),
        (f"model._target_={__name__}.KeepsOutput", "KeepsOutput has hooks"),
        (f"loss._target_={__name__}.Doubles", None),
        (f"loss._target_={__name__}.Branches", "torch.func cannot batch .* with Branches: vmap: It looks like"),
        (
            f"optimizer._target_={__name__}.Normalized",
            "Normalized is no optimizer of torch: a step may combine tensors",
        ),
    ],
)
def test_custom_parts_are_packed_only_where_a_pack_trains_them_as_a_single_run_does(
    word: str, why: str | None, tiny: Path, tmp_path: Path
) -> None:
    config = compose([*data_overrides(tiny, tmp_path), word, "seed=1", "trainer.threads=1"]).config
    found = why_not_packable(config, build_components(config))
    assert found is None if why is None else re.match(why, str(found))


class Chooses(Halves):
    """Branch on the brightness of images, which torch.func cannot batch over trials."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits if logits.mean() > 0 else 2 * logits


@pytest.mark.slow
def test_a_custom_network_is_packed_if_torch_can_batch_it(tiny: Path, tmp_path: Path) -> None:
    words = ("seed=1,2", "trainer.max_epochs=5", f"model._target_={__name__}.Halves")
    packed, alone = (
        run_sweep(*words, PACKED, data=tiny, at=tmp_path / "a"),
        run_sweep(*words, data=tiny, at=tmp_path / "b"),
    )
    for number in range(2):
        assert pack_of(packed / str(number)) == [0, 1]
    assert_losses_agree(packed, alone, range(2))


@pytest.mark.slow
def test_a_network_that_torch_cannot_batch_is_reported(tiny: Path, tmp_path: Path) -> None:
    words = ("seed=1,2", "trainer.max_epochs=2", f"model._target_={__name__}.Chooses")
    folder = run_sweep(*words, PACKED, data=tiny, at=tmp_path)
    assert [trial.status for trial in read_trials(folder)] == ["completed"] * 2
    assert pack_of(folder / "0") is None
    assert "torch.func cannot batch Chooses" in (tmp_path / "output.txt").read_text()
