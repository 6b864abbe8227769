"""The internals of Lightning that Copycat uses are as they were; each test fails by the name that has changed."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import registry
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.demos.boring_classes import BoringModel

import copycat
from copycat.training import lightning_internals as internals
from copycat.training.lightning_internals import Position

SOURCE = Path(copycat.__file__).parent
OURS = SOURCE / "training" / "lightning_internals.py"
LOOPS = ("fit_loop", "epoch_loop", "epoch_progress", "batch_progress", "optim_progress", "automatic_optimization")
"""Names of loops and counters, which Lightning calls public, and documents nowhere."""
TRAINER = (
    "_detect_anomaly",
    "_signal_connector._get_current_signal_handlers",
    "_checkpoint_connector._get_loops_state_dict",
    "fit_loop.restarting",
    "_logger_connector._callback_metrics",
    "_checkpoint_connector.dump_checkpoint",
    "fit_loop.min_epochs",
    "fit_loop.max_epochs",
    "fit_loop._data_fetcher",
    *(
        f"fit_loop.{progress}.{which}.{count}"
        for progress in ("epoch_progress", "epoch_loop.batch_progress")
        for which in ("current", "total")
        for count in ("ready", "started", "processed", "completed")
    ),
    "fit_loop.epoch_loop.batch_progress.is_last_batch",
    "fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed",
    "fit_loop.epoch_loop._batches_that_stepped",
    "fit_loop.epoch_loop._broadcast_sigterm_tensor",
    "fit_loop.epoch_loop.reset",
    "fit_loop.epoch_loop.on_advance_end",
)


def make_trainer(epochs: int = 3, **settings: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    internals.keep_fault_handlers(trainer)  # pytest's are for the tests that come after
    return trainer


@pytest.fixture
def trainer() -> pl.Trainer:
    return make_trainer()


@pytest.mark.parametrize("path", TRAINER)
def test_lightning_has_the_attribute(path: str, trainer: pl.Trainer) -> None:
    try:
        attrgetter(path)(trainer)
    except AttributeError as error:
        pytest.fail(
            f"pytorch-lightning {version('pytorch-lightning')}: Trainer.{path}: {error}; see lightning_internals.py"
        )


def test_the_trainer_says_whether_it_looks_for_nan(trainer: pl.Trainer) -> None:
    assert not internals.detects_anomalies(trainer)
    assert internals.detects_anomalies(make_trainer(detect_anomaly=True))


def test_a_device_is_chosen_as_a_trainer_chooses_it() -> None:
    assert internals.choose_device("cpu") == torch.device("cpu") == make_trainer().strategy.root_device


@pytest.mark.parametrize(("asked", "alone"), [(None, True), (False, True), (True, False)])
def test_early_stopping_says_when_it_looks(asked: bool | None, alone: bool) -> None:
    callback = EarlyStopping("val/loss", check_on_train_epoch_end=asked)
    assert internals.looks_at_validations_alone(callback) is alone


def test_early_stopping_stops_by_values_alone() -> None:
    callback = EarlyStopping("val/loss", patience=1)
    assert not internals.check_early_stopping(callback, torch.tensor(1.0))[0]
    stops, reason = internals.check_early_stopping(callback, torch.tensor(2.0))
    assert stops
    assert reason is not None
    assert reason.startswith("Monitored metric val/loss did not improve in the last 1 records.")


def test_callbacks_of_one_class_have_keys_of_their_own() -> None:
    keys = [internals.make_state_key(pl.Callback(), monitor=name) for name in ("val/loss", "val/accuracy")]
    assert keys == ["Callback{'monitor': 'val/loss'}", "Callback{'monitor': 'val/accuracy'}"]


def test_counters_are_those_that_the_trainer_reads(trainer: pl.Trainer) -> None:
    loop = internals.get_fit_loop(trainer)
    internals.set_epoch_progress(loop, 2, ready=1, started=1, processed=0)
    internals.set_batch_progress(loop, 3, before=10, ready=1, is_last=False)
    internals.set_global_step(loop, 13)
    assert (trainer.current_epoch, trainer.global_step, trainer.is_last_batch) == (2, 13, False)
    assert loop.total_batch_idx == 13
    assert loop.batch_idx == 3
    assert internals.get_position(trainer) == Position(2, 3)
    internals.set_batch_progress(loop, 5, before=10, ready=0, is_last=True)
    assert trainer.is_last_batch
    assert internals.get_position(trainer) == Position(2)


@pytest.mark.parametrize("position", [Position(2), Position(2, 3)])
def test_the_state_of_loops_stands_where_it_is_set(position: Position, trainer: pl.Trainer) -> None:
    state = internals.get_loops_state(trainer)
    assert state.keys() == {"fit_loop", "validate_loop", "test_loop", "predict_loop"}
    internals.set_position(state, position)
    internals.set_global_step_of_state(state, 7)
    loop = internals.get_fit_loop(trainer)
    loop.load_state_dict(state["fit_loop"])
    assert (trainer.current_epoch, trainer.global_step) == (2, 7)
    assert loop.epoch_loop.batch_progress.current.completed == position.batch
    assert loop.restarting is (position.batch > 0)
    internals.forget_restart(trainer)
    assert not loop.restarting
    internals.move_to_epoch_start(state["fit_loop"])
    loop.load_state_dict(state["fit_loop"])
    assert not loop.restarting
    assert loop.epoch_loop.batch_progress.current.completed == 0


class RecordingLoop(internals.FitLoop):
    """Train nothing, and record the order of calls."""

    def __init__(self, trainer: pl.Trainer) -> None:
        super().__init__(trainer, max_epochs=internals.get_fit_loop(trainer).max_epochs)
        self.calls: list[str] = []

    def on_run_start(self) -> None:
        super().on_run_start()
        self.calls.append("run start")

    def on_advance_start(self) -> None:
        super().on_advance_start()
        internals.begin_epoch_loop(self)
        self.calls.append(f"start {self.trainer.current_epoch}")

    def advance(self) -> None:
        self.calls.append("advance")
        internals.set_batch_progress(self, int(self.max_batches), before=0, ready=0, is_last=True)

    def on_advance_end(self) -> None:
        internals.end_epoch_loop(self)
        super().on_advance_end()
        self.calls.append("end")


class Validations(pl.Callback):
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.append(trainer.current_epoch)


def test_fit_runs_the_loop_that_it_is_given(recwarn: pytest.WarningsRecorder) -> None:
    seen = Validations()
    trainer = make_trainer(2, callbacks=[seen], num_sanity_val_steps=0)
    before = internals.get_fit_loop(trainer).epoch_loop
    loop = RecordingLoop(trainer)
    internals.set_fit_loop(trainer, loop)
    trainer.fit(BoringModel())
    assert internals.get_fit_loop(trainer) is loop
    assert loop.epoch_loop is before
    assert loop.calls == ["run start", "start 0", "advance", "end", "start 1", "advance", "end"]
    assert seen.epochs == [0, 1]
    assert trainer.current_epoch == 2


def find_internals(tree: ast.AST) -> Iterator[str]:
    """Yield the names of Lightning's internals in a module."""
    known = {node.attr for node in ast.walk(ast.parse(OURS.read_text())) if isinstance(node, ast.Attribute)}
    names = {*(name for name in known if name.startswith("_")), *LOOPS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split(".")[0] in LOOPS:
            yield node.value
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(("pytorch_lightning", "lightning")):
            inside = ".loops" in str(node.module) or ".connectors" in str(node.module)
            yield from (alias.name for alias in node.names if inside or alias.name.startswith("_"))


def test_no_other_module_touches_them() -> None:
    assert set(find_internals(ast.parse(OURS.read_text()))) >= {*LOOPS, "_FitLoop", "_AcceleratorConnector"}
    found = {path: list(find_internals(ast.parse(path.read_text()))) for path in SOURCE.rglob("*.py") if path != OURS}
    assert {path: names for path, names in found.items() if names} == {}


def test_entry_points_are_read_once_for_all_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[dict[str, str]] = []

    def read(**selection: str) -> list[Any]:
        reads.append(selection)
        return []

    monkeypatch.setattr(internals, "_read_entry_points", cache(read))
    before = vars(registry)["entry_points"]
    for _ in range(2):
        with internals.remembered_entry_points():
            make_trainer()
    assert reads == [{"group": "pytorch_lightning.callbacks_factory"}]
    assert vars(registry)["entry_points"] is before
