"""Steps that are taken at once give what single steps give, whatever their number, and however a run is cut short."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytorch_lightning.callbacks import LambdaCallback

from copycat.records.metrics_csv import read_history
from copycat.records.run_loader import open_run
from copycat.reruns.comparison import compare
from copycat.training import checkpoint_io
from copycat.training.multi_step_loop import MultiStepLoop
from copycat.training.resume import resume
from copycat.training.train import RunResult
from tests.support.callbacks import SimulatedKill
from tests.support.parameters import mark_slow
from tests.support.run_folders import find_only_run
from tests.support.runs import train_tiny

SMALL = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "trainer.threads=1", "logger=none")
JOBS: Mapping[str, tuple[str, ...]] = {
    "full batch": (),
    "batches": ("data.batch_size=5",),
    "shuffled, augmented, dropout": (
        *("data.batch_size=5", "data.shuffle=true", "augmentation=light"),
        *("model=cnn", "model.channels=[4]", "~model.hidden", "model.dropout=0.3"),
    ),
    "a batch per epoch": ("trainer.limit_train_batches=1", "data.batch_size=5"),
    "a batch per validation": ("trainer.limit_val_batches=1", "data.batch_size=5"),
    "validation now and then": ("trainer.check_val_every_n_epoch=3",),
    "schedule by epochs": ("scheduler=cosine", "data.batch_size=5"),
    "schedule by steps": ("scheduler=warmup", "scheduler.interval=step", "data.batch_size=5"),
    "one cycle, then cosine": (
        *("scheduler=sequence", "scheduler/first=one_cycle", "scheduler.interval=step", "optimizer=momentum"),
        "data.batch_size=5",
    ),
    "plateau": ("scheduler=plateau", "scheduler.patience=0", "trainer.check_val_every_n_epoch=2"),
    "plateau of training": ("scheduler=plateau", "scheduler.patience=0", "scheduler.monitor=train/loss"),
    "clipping": ("trainer.gradient_clip_val=0.01",),
    "clipping by value": ("trainer.gradient_clip_val=0.001", "trainer.gradient_clip_algorithm=value"),
    "accumulation": ("trainer.accumulate_grad_batches=2", "data.batch_size=3"),
    "accumulation by epochs": (
        "+callbacks.windows={_target_: pytorch_lightning.callbacks.GradientAccumulationScheduler, scheduling: {4: 2}}",
        "data.batch_size=3",
    ),
    "early stopping": ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer.lr=0.5"),
    "early stopping, seldom": (
        *("callbacks=early_stopping", "callbacks.early_stopping.patience=0", "optimizer.lr=0.5"),
        "trainer.check_val_every_n_epoch=2",
    ),
    "best accuracy": ("callbacks.best.monitor=val/accuracy", "callbacks.best.mode=max"),
    "best of training": ("callbacks.best.monitor=train/loss",),
    "L-BFGS": ("optimizer=lbfgs", "optimizer.max_iter=2"),
    "convolutions": ("model=cnn", "model.channels=[4]", "~model.hidden", "data.batch_size=5", "+optimizer.fused=true"),
    "moving average": ("callbacks=[default,ema]", "callbacks.ema.decay=0.7", "data.batch_size=5"),
    "moving average, accumulation": (
        *("callbacks=[default,ema]", "callbacks.ema.start_epoch=2", "trainer.accumulate_grad_batches=2"),
        *("data.batch_size=3", "trainer.check_val_every_n_epoch=2"),
    ),
    "mean of the last epochs": ("callbacks=[default,swa]", "callbacks.swa.start=0.4", "data.batch_size=5"),
    "layers at rates of their own": ("lr_multipliers={layers.0.bias:0,layers.0.*:0.1}", "scheduler=cosine"),
    "several classes": ("loss=cross_entropy", "data.batch_size=5"),
    "mixed, smoothed": (
        *("augmentation=mixup", "loss.label_smoothing=0.2", "loss.class_weights=[1.0,2.0]"),
        *("data.batch_size=5", "data.shuffle=true"),
    ),
    "balanced draws": (
        *("data.sampler=balanced", "data.batch_size=5", "augmentation=light"),
        *("loss=focal", "loss.class_weights=[1.0,2.0]", "loss.label_smoothing=0.1"),
    ),
    "balanced draws, full batch": ("data.sampler=balanced", "loss=mse"),
    "L-BFGS, mixed": ("optimizer=lbfgs", "optimizer.max_iter=2", "augmentation=cutmix", "loss=cross_entropy"),
}

FAST = (
    "a batch per epoch",
    "a batch per validation",
    "shuffled, augmented, dropout",
    "schedule by steps",
    "accumulation",
    "L-BFGS",
    "moving average",
)
"""Jobs whose steps differ in kind; the others combine them."""


@pytest.fixture(autouse=True, scope="module")
def _replays_soon() -> Iterator[None]:
    """Jobs are short here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("copycat.training.step_runner.CAPTURE_AFTER", 2)
        patch.setattr("copycat.training.step_runner.CAPTURE_FROM", 0)
        yield


def train_job(job: str, *words: str, data: Path, at: Path) -> RunResult:
    small = [word for word in SMALL if "~model.hidden" not in JOBS[job] or not word.startswith("model")]
    chosen = [word for word in JOBS[job] if not word.startswith("~")]
    return train_tiny(*small, "trainer.max_epochs=9", *chosen, *words, data=data, at=at)


def assert_same_runs(a: RunResult, b: RunResult) -> None:
    assert (a.status, a.manifest["error"]) == (b.status, b.manifest["error"])
    assert (a.folder / "metrics.csv").read_bytes() == (b.folder / "metrics.csv").read_bytes()
    assert a.manifest["results"] == b.manifest["results"]
    found = compare(open_run(a.folder), open_run(b.folder))
    assert not found.differences


@pytest.mark.parametrize("job", mark_slow(JOBS, fast=FAST))
def test_any_number_of_steps_at_once_gives_the_bits_of_single_steps(job: str, tiny: Path, tmp_path: Path) -> None:
    single = train_job(job, "trainer.steps_per_execution=1", data=tiny, at=tmp_path)
    for steps in ("7", "null") if job in FAST else ("7",) if list(JOBS).index(job) % 2 else ("null",):
        assert_same_runs(train_job(job, f"trainer.steps_per_execution={steps}", data=tiny, at=tmp_path), single)


@pytest.mark.slow
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.integers(2, 40),
    size=st.integers(1, 16),
    window=st.integers(1, 3),
    period=st.integers(1, 4),
    shuffle=st.booleans(),
)
def test_batches_windows_and_periods_do_not_change_the_bits(
    steps: int, size: int, window: int, period: int, shuffle: bool, tiny: Path, tmp_path: Path
) -> None:
    words = (
        *(f"data.batch_size={size}", f"trainer.accumulate_grad_batches={window}", f"data.shuffle={shuffle}"),
        *(f"trainer.check_val_every_n_epoch={period}", "trainer.max_epochs=5"),
    )
    single = train_job("full batch", *words, "trainer.steps_per_execution=1", data=tiny, at=tmp_path)
    assert_same_runs(
        train_job("full batch", *words, f"trainer.steps_per_execution={steps}", data=tiny, at=tmp_path), single
    )


@pytest.mark.parametrize("loss", [("mse", "sgd", "1e18"), ("bce", "adamw", "1e5")])
def test_a_run_that_diverges_says_so_at_the_same_step_with_the_same_rows(
    loss: tuple[str, str, str], tiny: Path, tmp_path: Path
) -> None:
    name, optimizer, rate = loss
    words = (f"loss={name}", f"optimizer={optimizer}", f"optimizer.lr={rate}", "data.batch_size=5", "activation=relu")
    single, many = (
        train_job("full batch", *words, f"trainer.steps_per_execution={steps}", data=tiny, at=tmp_path)
        for steps in (1, 500)
    )
    assert single.status == "failed"
    assert "the loss of epoch" in single.manifest["error"]
    assert_same_runs(many, single)


class EpochRecorder(pl.Callback):
    """Sees what a class attribute says, and where."""

    seen: ClassVar[list[tuple[str, int]]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append(("epoch", trainer.current_epoch))


class CountsSteps(pl.Callback):
    seen: ClassVar[list[int]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.seen.append(trainer.global_step)


class CountsByLambda(LambdaCallback):
    """Has its hook as an attribute of the instance."""

    seen: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__(on_train_batch_end=lambda trainer, *_: self.seen.append(trainer.global_step))


class CountsValidations(pl.Callback):
    seen: ClassVar[list[int]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self.seen.append(trainer.current_epoch)


class CountsEpochsAndValidations(EpochRecorder):
    """Has hooks of both."""

    seen: ClassVar[list[tuple[str, int]]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self.seen.append(("validation", trainer.current_epoch))


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (EpochRecorder, [("epoch", epoch) for epoch in range(9)]),
        (CountsSteps, list(range(1, 10))),
        (CountsByLambda, list(range(1, 10))),
        (CountsValidations, [2, 5, 8]),
        (
            CountsEpochsAndValidations,
            [
                (kind, epoch)
                for epoch in range(9)
                for kind in (("validation", "epoch") if epoch % 3 == 2 else ("epoch",))
            ],
        ),
    ],
)
def test_a_callback_of_the_user_sees_what_it_has_hooks_for(
    callback: Any, expected: list[Any], tiny: Path, tmp_path: Path
) -> None:
    callback.seen.clear()
    words = (f"+callbacks.counts._target_={__name__}.{callback.__name__}", "trainer.check_val_every_n_epoch=3")
    train_job("full batch", *words, data=tiny, at=tmp_path)
    assert callback.seen == expected


class Thaws(pl.Callback):
    """Its layer is trained in every other pair of epochs."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        next(pl_module.parameters()).requires_grad_(trainer.current_epoch % 4 >= 2)


def test_a_layer_that_a_callback_freezes_or_thaws_is_trained_as_in_single_steps(tiny: Path, tmp_path: Path) -> None:
    words = (f"+callbacks.thaws._target_={__name__}.{Thaws.__name__}",)
    one, many, never = (
        train_job("batches", *more, data=tiny, at=tmp_path / name)
        for name, more in {
            "one": (*words, "trainer.steps_per_execution=1"),
            "many": words,
            "never": (),
        }.items()
    )
    assert_same_runs(many, one)
    assert (many.folder / "metrics.csv").read_bytes() != (never.folder / "metrics.csv").read_bytes()


@pytest.fixture
def dies_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ends a run as it looks around for the nth time, where every step looks."""

    def after(looks: int) -> None:
        count = iter(range(looks))
        pause = MultiStepLoop._pause

        def dying(self: MultiStepLoop, batch: int) -> None:
            pause(self, batch)
            if next(count, None) is None:
                raise SimulatedKill

        monkeypatch.setattr(MultiStepLoop, "_pause", dying)

    yield after
    monkeypatch.undo()


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize(
    "job",
    mark_slow(["batches", "schedule by epochs", "validation now and then", "moving average"], fast=["moving average"]),
)
def test_checkpoints_that_wait_for_each_other_are_those_of_single_steps(
    job: str, share: float, monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    single = train_job(job, "trainer.steps_per_execution=1", data=tiny, at=tmp_path)
    monkeypatch.setattr("copycat.training.checkpoints.MAX_SAVING_SHARE", share)
    written: list[str] = []
    write = checkpoint_io._write

    def writing(path: Path, archive: bytes) -> None:
        written.append(path.name)
        write(path, archive)

    monkeypatch.setattr("copycat.training.checkpoint_io._write", writing)
    many = train_job(job, data=tiny, at=tmp_path)
    assert_same_runs(many, single)
    best = open_run(many.folder).manifest["results"]["best"]["epoch"]
    assert torch.load(many.folder / "checkpoints/best.ckpt", weights_only=True)["epoch"] == best + 1
    if share == 0:
        assert written.count("last.ckpt") == 2  # after the first epoch that asks for it, and at the end
        assert written.count("best.ckpt") <= 2


def test_a_run_that_diverges_keeps_the_best_checkpoint_that_waited(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("copycat.training.checkpoints.MAX_SAVING_SHARE", 0.0)
    words = (f"+callbacks.blows._target_={__name__}.{Blows.__name__}", "optimizer=sgd", "optimizer.lr=1e-3")
    outcome = train_job("full batch", *words, data=tiny, at=tmp_path)
    assert outcome.status == "failed"
    assert torch.load(outcome.folder / "checkpoints/best.ckpt", weights_only=True)["epoch"] == 6
    assert torch.load(outcome.folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1


class Blows(pl.Callback):
    """Makes the weights infinite after six epochs."""

    def supports_multi_step(self) -> bool:
        return True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 6:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(torch.inf)


DEATHS = [  # each job at two places, each place in several jobs
    ("batches", 3),
    ("batches", 17),
    ("shuffled, augmented, dropout", 8),
    ("shuffled, augmented, dropout", 17),
    ("schedule by steps", 3),
    ("schedule by steps", 17),
    ("accumulation", 3),
    ("accumulation", 8),
    ("moving average", 8),
    ("moving average", 17),
]


@pytest.mark.parametrize(("job", "looks"), mark_slow(DEATHS, fast=[DEATHS[2], DEATHS[8]], unpack=True))
def test_a_run_that_dies_between_two_checkpoints_resumes_to_the_same_bits(
    job: str, looks: int, dies_after: Any, monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    words = ("callbacks.last.every_n_steps=2",)
    whole = train_job(job, *words, data=tiny, at=tmp_path / "whole")
    dies_after(looks)
    with pytest.raises(SimulatedKill):
        train_job(job, *words, data=tiny, at=tmp_path / "killed")
    monkeypatch.undo()
    folder = find_only_run(tmp_path / "killed")
    assert len(read_history(folder)) < 9
    said: list[str] = []
    assert_same_runs(resume(open_run(folder), notify=said.append), whole)
    assert "resuming from" in said[-1]
