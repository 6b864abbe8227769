"""A run that was killed anywhere goes on to the bits of one that nobody killed."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial, wraps
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

from copycat.cli import main
from copycat.config.errors import UserError
from copycat.models.classifier import Classifier
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.resume import resume
from copycat.training.stopping import Limits
from copycat.training.train import RunResult, train
from tests.support.callbacks import KillCallback, SimulatedKill, end_loader_workers
from tests.support.parameters import mark_slow
from tests.support.run_folders import find_newest_run, remove_metric
from tests.support.runs import compose_quickly
from tests.support.tensorboard import load_events

OPTIMIZERS = ["adam", "adamax", "asgd", "lbfgs", "nadam", "rprop", "sgd", "nesterov"]
"""Each with a state of another kind."""
CNN = ["model=cnn", "model.channels=[4]", "data.shuffle=true", "augmentation=light", "optimizer=adam"]
JOBS = {
    "plateau": ["scheduler=plateau", "scheduler.patience=0"],
    "cosine": ["scheduler=cosine", "scheduler.interval=step", "scheduler.T_max=9"],
    "warmup": ["scheduler=warmup"],
    "early_stopping": ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer.lr=0.1"],
    "accumulation": ["trainer.accumulate_grad_batches=2"],
    "seldom_validation": ["trainer.check_val_every_n_epoch=2"],
    "frequent_validation": ["+trainer.val_check_interval=0.5"],
    "clipping": ["trainer.gradient_clip_val=0.1"],
    "limit": ["trainer.limit_train_batches=3"],
    "moving_average": [
        "callbacks=[default,ema]",
        "callbacks.ema.decay=0.7",
        "scheduler=plateau",
        "scheduler.patience=0",
    ],
    "mean_of_epochs": ["callbacks=[default,swa]", "callbacks.swa.start=0.4"],
    "best_accuracy": ["callbacks.best.monitor=val/accuracy", "callbacks.best.mode=max"],
    "cnn": CNN,
    "cnn_with_workers": [*CNN, "data.memory_mb=0", "data.workers=2"],
}
PLACES = [("batch", 2), ("batch", 4), ("validation", 4), ("epoch", 4), ("batch", 6), ("end", 12)]
"""After the second batch of the first epoch; after its last, before it is validated; after that; …"""
ALL_PLACES = ("plateau", "accumulation", "moving_average")
"""Jobs whose state has parts of its own; the others go through every second place, in turn."""


@pytest.fixture(autouse=True)
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(
        "copycat.training.checkpoints.MAX_SAVING_SHARE", inf
    )  # each that is due is written: places are known
    KillCallback.after = None
    yield
    KillCallback.after = None


def train_killable(tiny: Path, at: Path, *words: str) -> RunResult:
    """Four batches an epoch, three epochs, a checkpoint every third step; `words` go last."""
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={at}", "trainer.threads=1"]
    dies = "+callbacks.dies={_target_: tests.support.callbacks.KillCallback}"
    small = ["data.batch_size=4", "trainer.max_epochs=3", "callbacks.last.every_n_steps=3"]
    network = [] if any(word.startswith("model=") for word in words) else ["model=shallow", "model.hidden=[4]"]
    return train(compose_quickly([*where, dies, *small, *network, *words]))


def kill_run(tiny: Path, at: Path, *words: str, after: tuple[str, int]) -> Path | None:
    """The folder of a run that died; None where it ended before it came to that."""
    KillCallback.after = after
    try:
        train_killable(tiny, at, *words)
    except SimulatedKill:
        end_loader_workers()
        return find_newest_run(at)
    finally:
        KillCallback.after = None
    return None


def read_scalar_events(folder: Path) -> list[tuple[str, str, int, bytes]]:
    """What stands in the event files, one after the other: TensorBoard's own reader would purge."""
    found = []
    for file in sorted((folder / "tensorboard").rglob("events.*")):
        for event in EventFileLoader(str(file)).Load():
            found += [
                (file.parent.name, value.tag, event.step, value.tensor.SerializeToString())
                for value in event.summary.value
                if value.metadata.plugin_data.plugin_name == "scalars" and not value.tag.startswith("time/")
            ]
    return sorted(found)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a if name != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def assert_same_folders(folder: Path, reference: Path, *, but: str | None = None) -> None:
    for name in ("metrics.csv", "weights.safetensors"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    for name in ("last.ckpt", "best.ckpt"):
        checkpoints = [torch.load(at / "checkpoints" / name, weights_only=True) for at in (folder, reference)]
        assert checkpoints[0].keys() == checkpoints[1].keys()
        for key in checkpoints[0].keys() - {but}:
            assert equal(checkpoints[0][key], checkpoints[1][key]), f"{name}: {key}"
    assert read_scalar_events(folder) == read_scalar_events(reference)
    came_out = [read_manifest(at)["results"] for at in (folder, reference)]
    assert came_out[0] == came_out[1]


@pytest.mark.parametrize("optimizer", mark_slow(OPTIMIZERS, fast=["adam"]))
def test_each_optimizer_goes_on_inside_an_epoch_of_mixed_images(optimizer: str, tiny: Path, tmp_path: Path) -> None:
    words = [f"optimizer={optimizer}", "augmentation=mixup", "data.shuffle=true"]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=("batch", 8))
    assert folder
    said: list[str] = []
    assert resume(open_run(folder), say=said.append).status == "completed"
    assert said == ["resuming from epoch 1, batch 3, by last.ckpt"]
    assert_same_folders(folder, reference)


@pytest.mark.parametrize("job", mark_slow(JOBS, fast=["clipping"]))
def test_a_run_killed_anywhere_goes_on_to_the_same_bits(job: str, tiny: Path, tmp_path: Path) -> None:
    words = ["optimizer=adam", *JOBS[job]]
    reference = train_killable(tiny, tmp_path, *words).folder
    killed = 0
    places = PLACES if job in ALL_PLACES else PLACES[list(JOBS).index(job) % 2 :: 2]
    for after in places:
        if folder := kill_run(tiny, tmp_path, *words, after=after):
            assert resume(open_run(folder), say=lambda line: None).status == "completed"
            assert_same_folders(folder, reference)
            killed += 1
    assert killed >= len(places) / 2


def count_steps(monkeypatch: pytest.MonkeyPatch, *, at: int, then: Callable[[], object]) -> None:
    """Do something as soon as Adam has taken so many steps, without a hook that a callback would have for each."""
    step, taken = torch.optim.Adam.step, count(1)

    @wraps(step)
    def counting(*args: Any, **more: Any) -> Any:
        found = step(*args, **more)
        if next(taken) == at:
            then()
        return found

    monkeypatch.setattr(torch.optim.Adam, "step", counting)


def die() -> None:
    raise SimulatedKill


ENDS = (die, partial(os.kill, os.getpid(), signal.SIGINT))
STEPS = (2, 4, 5, 10)
JOBS_IN_ONE_LOOP = ("cosine", "accumulation", "moving_average", "cnn")
CUTS = [  # each job at three steps, each step in three jobs, and both ends of each
    (job, steps, ENDS[(row + column) % 2])
    for row, job in enumerate(JOBS_IN_ONE_LOOP)
    for column, steps in enumerate(STEPS)
    if row != column
]


@pytest.mark.parametrize(("job", "steps", "ends"), mark_slow(CUTS, fast=[CUTS[1], CUTS[2]], unpack=True))
def test_a_run_that_ends_among_steps_taken_at_once_goes_on_to_the_same_bits(
    job: str, steps: int, ends: Callable[[], object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no callback has a step hook; and what is left to the Trainer, which its own counters tell, does not go by time
    more = ["callbacks.dies=null", "trainer.max_epochs=6", "trainer.steps_per_execution=1000"]
    words = ["optimizer=adam", *JOBS[job], *more]
    by_trainer: list[int] = []
    training_step = Classifier.training_step

    def seen(classifier: Classifier, batch: Any, batch_idx: int) -> Any:
        by_trainer.append(batch_idx)
        return training_step(classifier, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", seen)
    reference = train_killable(tiny, tmp_path / "whole", *words).folder
    assert len(by_trainer) < 6 * 4 / 2  # the others were taken at once
    with monkeypatch.context() as patch, suppress(SimulatedKill):
        count_steps(patch, at=steps, then=ends)
        assert train_killable(tiny, tmp_path / "cut", *words).status == "interrupted"
    folder = find_newest_run(tmp_path / "cut")
    said: list[str] = []
    assert resume(open_run(folder), say=said.append).status == "completed"
    assert said[-1].startswith("resuming from epoch " if steps > 2 or ends is not die else "no checkpoint")
    assert_same_folders(folder, reference)


class KillBetweenSteps(KillCallback):
    """Kill a run without a hook that makes it take single steps."""

    def supports_multi_step(self) -> bool:
        return True

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self._kill_if_due("batch", trainer)


RESUMES = [  # every pair of a place, a job and a kind of loop
    (after, job, ("none", "killed", "resumed")[(row + column) % 3])
    for row, after in enumerate([("batch", 2), ("batch", 7), ("epoch", 4)])
    for column, job in enumerate(("cnn", "accumulation", "moving_average"))
]


@pytest.mark.parametrize(("after", "job", "single"), mark_slow(RESUMES, fast=[RESUMES[0], RESUMES[3]], unpack=True))
def test_a_run_is_resumed_inside_the_multi_step_loop_to_the_same_bits(
    after: tuple[str, int], job: str, single: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["optimizer=adam", *JOBS[job], f"callbacks.dies._target_={__name__}.{KillBetweenSteps.__name__}"]
    words.append("callbacks.last.every_n_steps=1")
    reference = train_killable(tiny, tmp_path, *words).folder
    hook, batches = after
    with monkeypatch.context() as patched:
        if single == "killed":
            patched.setattr("copycat.training.session.install", lambda *_, **more: None)
        folder = kill_run(tiny, tmp_path, *words, after=(hook, batches // 2 if job == "accumulation" else batches))
    assert folder
    if single == "resumed":
        monkeypatch.setattr("copycat.training.session.install", lambda *_, **more: None)
    assert resume(open_run(folder), say=lambda line: None).status == "completed"
    # Lightning's own loop counts calls of zero_grad and of schedulers too
    assert_same_folders(folder, reference, but=None if single == "none" else "loops")


def test_a_run_may_be_killed_and_resumed_many_times(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path, *CNN).folder
    folder = kill_run(tiny, tmp_path, *CNN, after=("batch", 2))
    assert folder
    for place in [("batch", 3), ("batch", 4), ("validation", 4), ("batch", 5), ("epoch", 8), ("end", 12)]:
        KillCallback.after = place
        with pytest.raises(SimulatedKill):
            resume(open_run(folder), say=lambda line: None)
    KillCallback.after = None
    resume(open_run(folder), say=lambda line: None)
    assert_same_folders(folder, reference)
    assert len(read_manifest(folder)["resumed"]) == 7


def test_a_run_goes_on_under_a_clock_that_was_set_back(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    assert folder
    clock = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: clock() - 86_400)
        resume(open_run(folder), say=lambda line: None)
    assert_same_folders(folder, reference)
    curve = load_events(folder / "tensorboard" / "train").Scalars("loss")
    assert curve[-1].wall_time < curve[0].wall_time  # the clock was set back
    assert [event.step for event in curve] == [0, 1, 2]


def test_a_run_that_was_resumed_is_rerun_to_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, *CNN, after=("batch", 7))
    assert folder
    resume(open_run(folder), say=lambda line: None)
    found = rerun(open_recorded(folder), say=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences
    assert found.comparison.epochs == 3


def test_a_run_that_stopped_early_trains_no_further_when_it_is_resumed(tiny: Path, tmp_path: Path) -> None:
    words = [*JOBS["early_stopping"], "optimizer=adam", "trainer.max_epochs=50"]
    reference = train_killable(tiny, tmp_path, *words)
    steps = reference.manifest["results"]["steps"]
    assert steps < 200
    folder = kill_run(tiny, tmp_path, *words, after=("end", steps))
    assert folder
    resume(open_run(folder), say=lambda line: None)
    assert_same_folders(folder, reference.folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(damage: str, tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    assert folder
    last = folder / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    last.write_bytes({"cut": bytes(content[:-100]), "empty": b"", "flipped": bytes(content)}[damage])
    said: list[str] = []
    resume(open_run(folder), say=said.append)
    assert said[0].startswith(f"{last}: expected a whole checkpoint; ")
    assert said[1].endswith("by before.ckpt")
    assert_same_folders(folder, reference)


def test_without_any_whole_checkpoint_a_run_starts_anew(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    assert folder
    for name in ("last.ckpt", "before.ckpt"):
        (folder / "checkpoints" / name).write_bytes(b"")
    said: list[str] = []
    resume(open_run(folder), say=said.append)
    assert said[-1] == "no checkpoint to resume from: starting from the beginning"
    assert_same_folders(folder, reference)


@pytest.mark.parametrize("step", ["recorder.reserve", "recorder.write_images", "train.TrainingSession"])
def test_a_run_that_was_killed_before_it_trained_is_resumed(
    step: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = train_killable(tiny, tmp_path).folder

    def die(*_: object, **more: object) -> None:
        raise SimulatedKill

    with monkeypatch.context() as patched:
        patched.setattr(f"copycat.training.{step}", die)
        with pytest.raises(SimulatedKill):
            train_killable(tiny, tmp_path)
    folder = find_newest_run(tmp_path)
    assert read_manifest(folder)["status"] == "running"
    assert resume(open_run(folder), say=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)
    assert (folder / "images.csv").read_bytes() == (reference / "images.csv").read_bytes()


def test_rows_that_were_lost_are_trained_again(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 11))
    assert folder
    history = folder / "metrics.csv"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines[:1]) + lines[1][:9])  # the last row that is left is cut short too
    said: list[str] = []
    resume(open_run(folder), say=said.append)
    assert any("expected metrics.csv to reach epoch 2" in line for line in said)
    assert_same_folders(folder, reference)


def test_a_folder_that_was_moved_is_resumed_where_it_lies(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path / "one").folder
    folder = kill_run(tiny, tmp_path / "one", after=("batch", 7))
    assert folder
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    before = sorted((tmp_path / "one").rglob("*"))
    resume(open_run(moved), say=lambda line: None)
    assert_same_folders(moved, reference)
    assert sorted((tmp_path / "one").rglob("*")) == before


def test_half_written_files_of_a_killed_process_are_removed(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, after=("batch", 7))
    assert folder
    left = folder / "checkpoints" / ".last.ckpt.0a1b2c"
    left.write_bytes(b"half")
    resume(open_run(folder), say=lambda line: None)
    assert not left.exists()


def test_checkpoints_load_under_weights_only_while_a_run_is_on_its_way(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, *CNN, after=("batch", 7))
    assert folder
    for file in (folder / "checkpoints").iterdir():
        assert torch.load(file, weights_only=True)["state_dict"]


def test_a_pruner_gets_each_epoch_s_metrics_once_and_those_before_a_resume_too(tiny: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    def judge(epoch: int, metrics: Mapping[str, float]) -> str | None:
        seen.append((epoch, metrics["val/loss"]))
        return None

    folder = kill_run(tiny, tmp_path, after=("epoch", 4))
    assert folder
    resume(open_run(folder), say=lambda line: None, limits=Limits(pruner=judge))
    rows = read_history(folder)
    assert seen == [(epoch, rows[epoch]["val/loss"]) for epoch in (0, 1)]  # after the last there is nothing to end


def test_a_pruned_run_ends_between_two_epochs_with_its_records_whole(tiny: Path, tmp_path: Path) -> None:
    limits = Limits(pruner=lambda epoch, metrics: "worse than others" if epoch == 1 else None)
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}"]
    outcome = train(compose_quickly([*where, "trainer.max_epochs=9"]), limits=limits)
    assert (outcome.status, outcome.manifest["error"]) == ("pruned", "worse than others")
    assert len(read_history(outcome.folder)) == 2
    assert resume(open_run(outcome.folder), say=lambda line: None).status == "completed"
    assert len(read_history(outcome.folder)) == 9


def test_a_run_that_takes_longer_than_it_may_has_failed(tiny: Path, tmp_path: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}"]
    outcome = train(compose_quickly([*where, "trainer.max_epochs=100000"]), limits=Limits(seconds=0.5))
    assert (outcome.status, outcome.manifest["error"]) == ("failed", "time limit: it took more than 0.5 s")


def test_a_completed_run_is_not_resumed(tiny: Path, tmp_path: Path) -> None:
    folder = train_killable(tiny, tmp_path).folder
    with pytest.raises(UserError, match=r"it is completed\. Type copycat rerun "):
        resume(open_run(folder), say=lambda line: None)


def test_a_run_is_not_resumed_on_other_data(tiny: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny, data)
    folder = kill_run(data, tmp_path, after=("batch", 7))
    assert folder
    file = data / "train" / "cat" / "0.png"
    with Image.open(file) as image:
        image.putpixel((0, 0), (1, 2, 3))
        image.save(file)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="expected the data that the run began with; 1 image differs"):
        resume(open_run(folder), say=lambda line: None)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_run_that_knew_fewer_scores_goes_on_with_the_columns_that_it_has(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    assert folder
    remove_metric(folder, "balanced_accuracy")
    header = (folder / "metrics.csv").read_text().splitlines()[0]
    assert resume(open_run(folder), say=lambda line: None).status == "completed"
    lines = (folder / "metrics.csv").read_text().splitlines()
    assert lines[0] == header
    assert [line.count(",") for line in lines] == [header.count(",")] * 4  # and three epochs


# ----- more epochs


@pytest.mark.parametrize("job", [*mark_slow(["cosine", "moving_average"], fast=["cosine"])])
def test_a_completed_run_trains_on_to_the_bits_of_one_that_was_asked_for_all_epochs(
    job: str, tiny: Path, tmp_path: Path
) -> None:
    words = [*JOBS[job], "optimizer=adam", "data.shuffle=true"]
    reference = train_killable(tiny, tmp_path, *words, "trainer.max_epochs=5").folder
    folder = train_killable(tiny, tmp_path, *words).folder
    assert resume(open_run(folder), say=lambda line: None, max_epochs=5).status == "completed"
    assert_same_folders(folder, reference)
    manifest = read_manifest(folder)
    assert manifest["request"]["overrides"][-1] == "trainer.max_epochs=5"
    assert "trainer.max_epochs=3" not in manifest["request"]["overrides"]
    assert [(entry["epoch"], entry["max_epochs"]) for entry in manifest["resumed"]] == [(3, 5)]
    found = rerun(open_recorded(folder), say=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences
    assert found.comparison.epochs == 5


def test_a_run_that_was_killed_as_it_began_to_train_on_is_resumed_as_any_other(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path, "trainer.max_epochs=5").folder
    folder = train_killable(tiny, tmp_path).folder
    KillCallback.after = ("batch", 13)
    with pytest.raises(SimulatedKill):
        resume(open_run(folder), say=lambda line: None, max_epochs=5)
    KillCallback.after = None
    assert not (folder / "weights.safetensors").exists()
    assert resume(open_run(folder), say=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)


def test_a_schedule_made_for_fewer_epochs_stays_and_is_named(tiny: Path, tmp_path: Path) -> None:
    folder = train_killable(tiny, tmp_path, "scheduler=cosine").folder
    said: list[str] = []
    resume(open_run(folder), say=said.append, max_epochs=4)
    assert "scheduler.T_max stays 3, as the run began with it" in said


@pytest.mark.parametrize(
    ("words", "max_epochs", "message"),
    [
        ([], 3, r"trainer\.max_epochs: expected more than the run's 3; got 3\.$"),
        (["callbacks=none"], 4, r"expected the checkpoint of its last epoch; it has none\.$"),
        (JOBS["mean_of_epochs"], 4, r"callbacks\.swa: expected none, as it starts at a share of trainer\.max_epochs"),
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.min_delta=9", "callbacks.early_stopping.patience=1"],
            4,
            r"expected a run of all its 3 epochs; it stopped early, after 2\.$",
        ),
    ],
)
def test_a_run_that_cannot_train_on_is_left_as_it_is(
    words: list[str], max_epochs: int, message: str, tiny: Path, tmp_path: Path
) -> None:
    data = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}", "trainer.max_epochs=3"]
    folder = train(compose_quickly([*data, *words])).folder
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=message):
        resume(open_run(folder), say=lambda line: None, max_epochs=max_epochs)
    assert all(file.read_bytes() == content for file, content in before.items())


def test_the_command_takes_more_epochs_and_no_other_key(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_killable(tiny, tmp_path).folder
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["resume", str(folder), "optimizer.lr=1"])
    assert "expected trainer.max_epochs=MORE; got 'optimizer.lr=1'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["resume", str(folder), "trainer.max_epochs=4"])
    assert len(read_history(folder)) == 4
