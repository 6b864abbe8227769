"""Train runs that are killed at a known place, and compare their folders with those of runs that nobody killed."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

from copycat.records.run_folder import read_manifest
from copycat.training.train import RunResult, train
from tests.support.callbacks import KillCallback, SimulatedKill, end_loader_workers
from tests.support.run_folders import assert_same_bits, find_newest_run
from tests.support.runs import compose_quickly

CNN = ["model=cnn", "model.channels=[4]", "data.shuffle=true", "augmentation=light", "optimizer=adam"]
JOBS = {
    "plateau": ["scheduler=plateau", "scheduler.patience=0"],
    "cosine": ["scheduler=cosine", "scheduler.interval=step", "scheduler.T_max=9"],
    "warmup": ["scheduler=warmup"],
    "sequence": [
        *("scheduler=sequence", "scheduler/first=one_cycle", "scheduler/second=multi_step"),
        *("scheduler.interval=step", "scheduler.milestone=5", "scheduler.second.milestones=[0.5]"),
    ],
    "warmup_plateau": ["scheduler=sequence", "scheduler/second=plateau", "scheduler.second.patience=0"],
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
    "balanced_draws": ["data.sampler=balanced", "augmentation=light", "loss=focal", "loss.class_weights=[1.0,2.0]"],
    "cnn_with_workers": [*CNN, "data.memory_mb=0", "data.workers=2"],
}


def train_killable(tiny: Path, at: Path, *words: str) -> RunResult:
    """Four batches an epoch, three epochs, a checkpoint every third step; `words` go last."""
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={at}", "trainer.threads=1"]
    dies = "+callbacks.dies={_target_: tests.support.callbacks.KillCallback}"
    small = ["data.batch_size=4", "trainer.max_epochs=3", "callbacks.last.every_n_steps=3"]
    network = [] if any(word.startswith("model=") for word in words) else ["model=shallow", "model.hidden=[4]"]
    return train(compose_quickly([*where, dies, *small, *network, *words]))


def kill_run(tiny: Path, at: Path, *words: str, after: tuple[str, int]) -> Path:
    """The folder of a run that died."""
    folder = try_to_kill(tiny, at, *words, after=after)
    assert folder, "it ended before it came to that"
    return folder


def try_to_kill(tiny: Path, at: Path, *words: str, after: tuple[str, int]) -> Path | None:
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
    assert_same_bits(folder, reference)
    for name in ("last.ckpt", "best.ckpt"):
        checkpoints = [torch.load(at / "checkpoints" / name, weights_only=True) for at in (folder, reference)]
        assert checkpoints[0].keys() == checkpoints[1].keys()
        for key in checkpoints[0].keys() - {but}:
            assert equal(checkpoints[0][key], checkpoints[1][key]), f"{name}: {key}"
    assert read_scalar_events(folder) == read_scalar_events(reference)
    came_out = [read_manifest(at)["results"] for at in (folder, reference)]
    assert came_out[0] == came_out[1]
