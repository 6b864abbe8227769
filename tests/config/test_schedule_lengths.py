"""Open lengths become those of the run, shares become numbers, and what does not fit is named."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.places import CONF
from copycat.config.schedule_lengths import fill_lengths, find_length_conflicts
from copycat.config.trial_composition import compose_trial_request
from copycat.config.validation import check_config
from copycat.training.components import build_components
from tests.support.runs import compose_quickly

WARMUP = {"_target_": "copycat.models.schedules.warmup_cosine", "warmup_iters": None, "total_iters": None}
COSINE = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": None}


@given(share=st.floats(0.001, 0.999), total=st.integers(2, 10_000))
def test_a_share_is_rounded_and_leaves_a_part_to_both_phases(share: float, total: int) -> None:
    filled = fill_lengths({**WARMUP, "warmup": share}, total=total, per_epoch=1)
    assert filled["total_iters"] == total
    assert 1 <= filled["warmup_iters"] < total
    assert abs(filled["warmup_iters"] - share * total) <= 1
    assert fill_lengths(filled, total=999, per_epoch=9) == filled, "a recorded configuration stays as it is"


def test_a_warm_up_of_whole_epochs_has_as_many_steps_as_they_have() -> None:
    assert fill_lengths({**WARMUP, "warmup": 3}, total=200, per_epoch=10)["warmup_iters"] == 30


def test_the_parts_of_a_sequence_share_the_run() -> None:
    node = {"_target_": "copycat.models.schedules.sequence", "milestone": 0.25, "first": COSINE, "second": COSINE}
    filled = fill_lengths(node, total=40, per_epoch=1)
    assert [filled["milestone"], filled["first"]["T_max"], filled["second"]["T_max"]] == [10, 10, 30]


@pytest.mark.parametrize("total", range(1, 6))
@pytest.mark.parametrize("option", sorted(file.stem for file in (CONF / "scheduler").glob("*.yaml")))
def test_the_configuration_of_a_run_of_few_epochs_is_taken_when_it_is_read_again(option: str, total: int) -> None:
    words = [f"scheduler={option}", "optimizer=adam", f"trainer.max_epochs={total}"]
    if option == "sequence" and total == 1:
        with pytest.raises(UserError, match="less than 1 epoch, the whole run"):
            compose(words)
        return
    config = compose(words).config
    node = fill_lengths(config["scheduler"], total=total, per_epoch=1)
    check_config({**config, "scheduler": node})
    assert fill_lengths(node, total=total, per_epoch=1) == node


def test_keys_of_a_scheduler_of_one_s_own_stay_as_they_are() -> None:
    node = {"_target_": "mine.Schedule", "T_max": None, "milestones": [0.5]}
    assert fill_lengths(node, total=40, per_epoch=1) == node
    assert not list(find_length_conflicts(node, total=40, per_epoch=1))


STEPS = [  # 16 images
    (["data.batch_size=6"], 3),
    (["data.batch_size=6", "trainer.accumulate_grad_batches=2"], 2),
    (["data.batch_size=2", "trainer.limit_train_batches=0.4"], 3),
    (["data.batch_size=2", "trainer.limit_train_batches=4"], 4),
    ([], 1),
]


@pytest.mark.parametrize(("words", "per_epoch"), STEPS)
def test_a_schedule_by_the_step_has_the_steps_of_the_run(words: list[str], per_epoch: int, tiny: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=7"]
    images = len(list((tiny / "train").rglob("*.png")))
    config = build_components(
        compose_quickly([*where, *words, "scheduler=cosine", "scheduler.interval=step"]).config
    ).config
    assert images == 16
    assert config["scheduler"]["T_max"] == 7 * per_epoch


WINDOWS = "+callbacks.more._target_=pytorch_lightning.callbacks.GradientAccumulationScheduler"
MISTAKES = {
    "warmup_cosine scheduler.interval=epoch scheduler.warmup=4": r"\.warmup: expected less than 4 epochs",
    "warmup_cosine scheduler.warmup=9": r"\.warmup: expected less than 4 epochs, .* got 9",
    "warmup_cosine scheduler.warmup=-1": r"\.warmup: expected a whole number ≥ 0 or a number",
    "multi_step scheduler.milestones=[30,20]": r"milestones: expected ascending numbers; got \[30, 20\]",
    "multi_step scheduler.milestones=[]": "milestones: expected a list of shares",
    "sequence scheduler.milestone=4": r"\.milestone: expected at least 1 and less than 4 epochs",
    "sequence scheduler/second=multi_step scheduler.second.milestones=[2,1]": r"second\.milestones: .*ascending",
    "cosine scheduler.interval=stop": "interval: .* Did you mean scheduler.interval=step",
    "one_cycle": "momentum or betas; got optimizer.momentum=0. Type optimizer=momentum",
    "one_cycle optimizer=rprop": "momentum or betas; got Rprop",
    "one_cycle optimizer=adam scheduler.interval=epoch scheduler.pct_start=0.25": "pct_start: .*divides by 0",
    "sequence scheduler/first=plateau": "plateau",
    "sequence scheduler/second=plateau trainer.check_val_every_n_epoch=2": "check_val_every_n_epoch: expected 1",
    "sequence scheduler/second=plateau scheduler.interval=step": "scheduler/second=plateau monitors",
    f"cosine scheduler.interval=step {WINDOWS}": "expected epoch, as callbacks.more changes the steps",
    "sequence scheduler.first.interval=step": "first.interval: expected scheduler.interval=epoch",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_schedule_that_does_not_fit_is_named_before_torch_is_imported(words: str) -> None:
    with pytest.raises(UserError, match=MISTAKES[words]):
        compose(["trainer.max_epochs=4", *f"scheduler={words}".split()])


def test_a_length_in_steps_is_checked_once_they_are_known(tiny: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", "data.batch_size=4", "trainer.max_epochs=4"]
    config: Any = compose_trial_request([*where, "scheduler=warmup_cosine", "scheduler.warmup_iters=16"]).config
    with pytest.raises(UserError, match=r"scheduler\.warmup_iters: expected less than 16 steps.*got 16"):
        build_components(config)
