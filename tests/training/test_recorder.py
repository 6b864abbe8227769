"""A run leaves the same records alone and in a pack."""

import errno
import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers.logger import DummyLogger

from copycat.config.errors import UserError
from copycat.inspection.callbacks.inspector import Inspector
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.records.run_loader import open_run
from copycat.records.trial_file import read_trial, write_trial
from copycat.training.resume import resume
from copycat.training.run_context import RunContext
from copycat.training.train import train
from tests.support.commands import call_copycat
from tests.support.parameters import mark_slow
from tests.support.runs import compose_quickly

pytestmark = pytest.mark.parametrize("how", ["alone", "packed"])

FAILURES: Mapping[str, tuple[Exception, str]] = {
    "full_disk": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "file"), "No space left on device: file"),
    "server": (OSError("the server is away\nsince noon"), "OSError: the server is away"),
    "user": (UserError("mine: expected one; got two."), "mine: expected one; got two"),
    "code": (ValueError(), "ValueError"),
}


class FailingInspector(Inspector):
    """Fail at the end of a run."""

    def __init__(self, failure: str) -> None:
        self.failure = failure

    def on_run_end(self, context: RunContext) -> None:
        raise FAILURES[self.failure][0]


class UnclosableLogger(DummyLogger):
    """Fail where the files of a run are closed."""

    def close(self) -> None:
        raise RuntimeError("the server is away")


class ForwardLogger(Logger):
    """Log nothing, with no way back to the epoch of a checkpoint."""

    name = version = None

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log none."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log none."""


def run(how: str, *words: str, data: Path, at: Path, status: int = 0) -> Path:
    """Train for two epochs in `at`/sweep/0, alone or in a pack of two; return that folder."""
    folder = at / "sweep" / "0"
    tiny = ["data=folder", f"data.root={data}", "data.image_size=8", "trainer.threads=1", "trainer.max_epochs=2"]
    if how == "alone":
        outcome = train(compose_quickly([*tiny, "logger=none", *words]), folder=folder)
        assert outcome.status == ("failed" if status else "completed")
    else:
        pack = ["hydra/launcher=packed", "seed=1,2", f"sweep.folder={at}/sweep"]
        call_copycat("train", "-m", *tiny, "logger=none", *words, *pack, status=status)
        assert read_manifest(folder)["provenance"]["pack"] == [0, 1]
    return folder


def resume_sweep(folder: Path) -> None:
    """Resume the sweep of a trial, all of whose trials are marked as killed."""
    for trial in folder.parent.glob("[0-9]"):
        write_trial(trial, replace(read_trial(trial), status="running"))
    call_copycat("resume", str(folder.parent))


def resume_as_killed(how: str, folder: Path) -> list[str]:
    """Mark a run as killed before its last records, resume it, and return what is said in the meantime."""
    for trial in folder.parent.glob("[0-9]"):
        write_manifest(trial, {**read_manifest(trial), "status": "running"})
    (folder / "train.log").write_text("")
    said: list[str] = []
    if how == "alone":
        resume(open_run(folder), notify=said.append)
    else:
        resume_sweep(folder)
    return said or (folder / "train.log").read_text().splitlines()


@pytest.mark.parametrize("failure", mark_slow(FAILURES, fast=["full_disk"]))
def test_a_failure_is_described_in_the_same_words(how: str, failure: str, tiny: Path, tmp_path: Path) -> None:
    fails = f"+callbacks.fails={{_target_: {__name__}.FailingInspector, failure: {failure}}}"
    folder = run(how, fails, data=tiny, at=tmp_path, status=1)
    assert read_manifest(folder)["error"] == FAILURES[failure][1]
    assert "Traceback" in (folder / "train.log").read_text()


def test_a_checkpoint_that_cannot_be_written_is_named(
    how: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, archive: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.name)

    monkeypatch.setattr("copycat.training.checkpoint_io._write", write)
    monkeypatch.setattr("copycat.sweeps.packed.loop.SAVE_INTERVAL", 0.0)
    monkeypatch.setattr("copycat.sweeps.packed.loop.WRITE_INTERVAL", 0.0)
    folder = run(how, "trainer.max_epochs=50", data=tiny, at=tmp_path, status=1)
    assert read_manifest(folder)["error"] in [f"No space left on device: {name}.ckpt" for name in ("last", "best")]


def test_a_divergence_of_the_final_weights_is_no_failure_of_code(how: str, tiny: Path, tmp_path: Path) -> None:
    words = ("loss=mse", "optimizer.lr=1e20", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=5")
    folder = run(how, *words, "callbacks=none", data=tiny, at=tmp_path, status=1)
    assert str(read_manifest(folder)["error"]).startswith("train/loss of the final weights is ")


def test_a_logger_that_cannot_be_closed_fails_the_run(how: str, tiny: Path, tmp_path: Path) -> None:
    words = ("callbacks=none", f"+logger.away._target_={__name__}.UnclosableLogger")
    manifest = read_manifest(run(how, *words, data=tiny, at=tmp_path, status=1))
    assert (manifest["status"], manifest["error"]) == ("failed", "RuntimeError: the server is away")
    assert manifest["ended"]


def test_a_logger_that_cannot_purge_is_named_once(how: str, tiny: Path, tmp_path: Path) -> None:
    logger = f"+logger.forward._target_={__name__}.ForwardLogger"
    said = resume_as_killed(how, run(how, logger, data=tiny, at=tmp_path))
    warning = "ForwardLogger cannot resume: it starts again. metrics.csv and TensorBoard resume."
    assert sum(line.endswith(warning) for line in said) == 1


def test_half_written_files_are_removed_on_resume(how: str, tiny: Path, tmp_path: Path) -> None:
    folder = run(how, data=tiny, at=tmp_path)
    left = [folder / name for name in (".run.json.0a1b2c", "checkpoints/.last.ckpt.0a1b2c", "plots/.one.png.0a1b2c")]
    left[-1].parent.mkdir()
    for path in left:
        path.write_bytes(b"half")
    resume_as_killed(how, folder)
    assert not any(path.exists() for path in left)
    assert read_manifest(folder)["status"] == "completed"


def test_files_of_a_killed_start_are_removed_or_replaced(how: str, tiny: Path, tmp_path: Path) -> None:
    folder = run(how, "callbacks=none", data=tiny, at=tmp_path)
    images = (folder / "images.csv").read_bytes()
    for name in set(os.listdir(folder)) - {"trial.json"}:
        (folder / name).unlink()
    (folder / ".run.json.0a1b2c").write_bytes(b"half")
    (folder / "images.csv").write_bytes(images[:100])
    if how == "alone":
        run(how, "callbacks=none", data=tiny, at=tmp_path)
    else:
        resume_sweep(folder)
    assert not (folder / ".run.json.0a1b2c").exists()
    assert (folder / "images.csv").read_bytes() == images


def test_early_stopping_does_not_choose_the_best_epoch(how: str, tiny: Path, tmp_path: Path) -> None:
    words = ["callbacks=early_stopping", "callbacks.best=null"]
    words += ["callbacks.early_stopping.monitor=val/accuracy", "callbacks.early_stopping.mode=max"]
    best = read_manifest(run(how, *words, data=tiny, at=tmp_path))["results"]["best"]
    assert (best["monitor"], best["mode"]) == ("val/loss", "min")
