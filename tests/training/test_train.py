"""A run: what it leaves behind, how it fails, what it promises."""

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from safetensors.torch import load_file

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.targets import Node, check_node
from copycat.records.lock import LockedError
from copycat.records.metrics_csv import read_history
from copycat.training.components import build_components
from copycat.training.train import train
from tests.support.locks import hold_lock
from tests.support.runs import QUIET, compose_quickly, train_tiny


def test_a_run_leaves_the_folder_that_the_design_names(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=3", data=tiny, at=tmp_path)
    names = {path.name for path in outcome.folder.iterdir()} - {"code.patch"}  # there where a developer is at work
    expected = {
        "run.json",
        "config.yaml",
        "metrics.csv",
        "gallery.json",
        "images.csv",
        "predictions.csv",
        "checkpoints",
        "weights.safetensors",
        "tensorboard",
        "train.log",
    }
    assert names == expected
    assert {path.name for path in (outcome.folder / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert outcome.folder.parent.parent == tmp_path / "default"


def test_one_process_trains_alone_in_a_job_of_several_tasks(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"JOB_ID": "1", "JOB_NAME": "job", "NTASKS": "4", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).status == "completed"


def test_the_manifest_records_request_provenance_and_results(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=3", "seed=0", data=tiny, at=tmp_path)
    manifest = json.loads((outcome.folder / "run.json").read_text())
    assert manifest["status"] == "completed"
    assert "seed=0" in manifest["request"]["overrides"]
    assert manifest["provenance"]["environment"]["packages"]["torch"] == version("torch")
    assert manifest["provenance"]["environment"]["threads"] == torch.get_num_threads()
    assert manifest["data"]["images"] == {"train": 16, "val": 8}
    assert manifest["results"]["epochs"] == 3
    assert set(manifest["results"]["final"]) >= {"train/loss", "val/accuracy"}
    assert not any(name.startswith("test/") for name in manifest["results"]["final"])


def test_each_node_of_a_configuration_is_checked_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: Counter[str] = Counter()

    def counted(key: str, node: Node, *, given: Sequence[str] = ()) -> None:
        checked[key] += 1
        check_node(key, node, given=given)

    for name, module in list(sys.modules.items()):
        if name.startswith("copycat.") and vars(module).get("check_node") is check_node:
            monkeypatch.setattr(module, "check_node", counted)
    train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path)
    groups = {"data", "augmentation", "model", "initialization", "loss", "optimizer", "scheduler"}
    assert {key.partition(".")[0] for key in checked} == groups | {"trainer", "callbacks", "logger"}
    assert {key: count for key, count in checked.items() if count != 1} == {}


def test_final_metrics_are_those_of_the_final_weights(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path)
    longer = train_tiny("trainer.max_epochs=3", *QUIET, data=tiny, at=tmp_path)
    # the loss of epoch 2 is taken before its step: on the weights that two epochs end with
    after_two = read_history(longer.folder)[2]["train/loss"]
    assert outcome.manifest["results"]["final"]["train/loss"] == after_two


@pytest.mark.parametrize("every", [1, 2, 7])
def test_the_weights_file_and_the_last_checkpoint_hold_the_same_weights(every: int, tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=5", f"trainer.check_val_every_n_epoch={every}")
    outcome = train_tiny(*words, data=tiny, at=tmp_path)
    weights = load_file(outcome.folder / "weights.safetensors")
    checkpoint = torch.load(outcome.folder / "checkpoints" / "last.ckpt", weights_only=True)
    kept = {name.removeprefix("network."): value for name, value in checkpoint["state_dict"].items()}
    assert all(torch.equal(value, kept[name]) for name, value in weights.items())


def test_mixed_images_are_trained_on_by_shares_and_counted_as_their_larger_class(tiny: Path, tmp_path: Path) -> None:
    words = ("augmentation=mixup", "augmentation.alpha=1.0", "trainer.max_epochs=1", *QUIET)
    row = read_history(train_tiny(*words, data=tiny, at=tmp_path).folder)[0]
    where = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    parts = build_components(compose_quickly([*where, *words]).config)
    batch = parts.data.augment(next(iter(parts.data.loader("train"))), 0)
    shares = batch["label"]
    assert ((shares > 0) & (shares < 1)).any()
    probability = parts.classifier(batch["image"])[:, 0].sigmoid()
    cost = torch.nn.functional.binary_cross_entropy(probability, shares[:, 1])
    assert row["train/loss"] == pytest.approx(cost.item(), rel=1e-5)
    right = (probability > 0.5) == (shares[:, 1] > shares[:, 0])
    assert row["train/accuracy"] == pytest.approx(right.float().mean().item())


def test_seed_0_is_a_seed(tiny: Path, tmp_path: Path) -> None:
    digests = [
        train_tiny(f"seed={seed}", "trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).manifest["results"][
            "weights_digest"
        ]
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_test_metrics_appear_only_when_asked_for(tiny: Path, tmp_path: Path) -> None:
    words = ("data.split=holdout", "data.holdout=0.25", "trainer.max_epochs=1", *QUIET)
    outcome = train_tiny(*words, "test=true", data=tiny, at=tmp_path)
    assert outcome.manifest["results"]["final"]["test/accuracy"] >= 0
    assert outcome.manifest["data"]["images"] == {"train": 12, "val": 4, "test": 8}
    assert "test/" not in (outcome.folder / "metrics.csv").read_text()


def test_a_test_part_that_is_not_there_is_refused_and_leaves_no_folder(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test=true"):
        train_tiny("test=true", data=tiny, at=tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()


def test_a_callback_that_cannot_be_built_leaves_no_folder(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="patience"):
        train_tiny(
            "callbacks=early_stopping", "callbacks.early_stopping.patience=x", data=tiny, at=tmp_path / "outputs"
        )
    assert not (tmp_path / "outputs").exists()


def test_a_trial_s_folder_that_another_process_holds_is_left_as_it_is(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text("its record")
    (tmp_path / "metrics.csv").write_text("its rows")
    with hold_lock(tmp_path), pytest.raises(LockedError, match="still running"):
        train(request_of(tiny), folder=tmp_path)
    assert (tmp_path / "trial.json").read_text() == "its record"
    assert (tmp_path / "metrics.csv").read_text() == "its rows"


def test_a_failed_start_removes_its_own_files_and_no_others(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text("its record")
    stop = "{_target_: pytorch_lightning.callbacks.Timer, duration: long}"
    request = request_of(tiny, f"+callbacks.stop={stop}")
    with pytest.raises(UserError, match=r"callbacks\.stop"):
        train(request, folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"trial.json", "train.log"}
    assert (tmp_path / "trial.json").read_text() == "its record"


def test_a_run_in_a_folder_that_holds_another_starts_clean(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "3"
    reference = train(request_of(tiny), folder=folder).manifest["results"]
    (folder / "trial.json").write_text("its record")
    (folder / "run.json").write_text("{")
    outcome = train(request_of(tiny), folder=folder)
    assert outcome.manifest["results"] == reference
    assert [row["epoch"] for row in read_history(folder)] == [0]
    assert (tmp_path / "3-damaged-1" / "run.json").read_text() == "{"
    assert [row["epoch"] for row in read_history(tmp_path / "3-damaged-1")] == [0]
    assert (folder / "trial.json").read_text() == "its record"
    said = f"copycat: {folder}: its run starts again; the earlier files are in {tmp_path / '3-damaged-1'} now\n"
    assert capsys.readouterr().err == said


def request_of(data: Path, *overrides: str) -> Request:
    where = ["data=folder", f"data.root={data}", "data.image_size=8", "trainer.max_epochs=1"]
    return compose_quickly([*where, *QUIET, *overrides])


@pytest.mark.parametrize(
    "words", [("loss=mse", "optimizer.lr=1e30"), ("model=shallow", "optimizer.lr=1e38", "loss=mse")]
)
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_checkpoint(
    words: tuple[str, ...], tiny: Path, tmp_path: Path
) -> None:
    outcome = train_tiny(*words, "trainer.max_epochs=50", data=tiny, at=tmp_path)
    assert outcome.status == "failed"
    assert "epoch" in outcome.manifest["error"]
    assert outcome.manifest["results"]["epochs"] < 50
    for file in (outcome.folder / "checkpoints").glob("*.ckpt"):
        state = torch.load(file, weights_only=True)["state_dict"]
        assert all(tensor.isfinite().all() for tensor in state.values() if tensor.is_floating_point())
    assert not (outcome.folder / "weights.safetensors").exists()


def test_a_run_that_diverges_late_keeps_a_good_checkpoint(tiny: Path, tmp_path: Path) -> None:
    # the rate grows a thousandfold an epoch, so that the first epochs are fine
    words = ("scheduler=step", "scheduler.step_size=1", "scheduler.gamma=1e6", "loss=mse", "trainer.max_epochs=50")
    outcome = train_tiny(*words, data=tiny, at=tmp_path)
    assert outcome.status == "failed"
    assert (outcome.folder / "checkpoints" / "last.ckpt").exists()
    assert (outcome.folder / "checkpoints" / "best.ckpt").exists()


def test_metrics_begin_with_the_training_loss(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    assert (outcome.folder / "metrics.csv").read_text().splitlines()[0].startswith("epoch,train/loss,")


@pytest.mark.parametrize("period", [1, 15])
def test_the_best_epoch_is_the_one_with_the_least_validation_loss(period: int, tiny: Path, tmp_path: Path) -> None:
    words = ("optimizer=adam", "optimizer.lr=0.05", "trainer.max_epochs=40", f"callbacks.best.every_n_epochs={period}")
    outcome = train_tiny(*words, data=tiny, at=tmp_path)
    rows = [row for row in read_history(outcome.folder) if (row["epoch"] + 1) % period == 0]
    best = min(rows, key=lambda row: row["val/loss"])
    assert outcome.manifest["results"]["best"]["epoch"] == best["epoch"]
    assert outcome.best["val/loss"] == best["val/loss"] == outcome.objective
    checkpoint = torch.load(outcome.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["epoch"] == best["epoch"] + 1  # epochs that were done


def test_an_output_folder_that_cannot_be_made_is_one_clear_line(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="output_dir: expected a folder to write to"):
        train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path / "file")


def test_a_trial_that_cannot_be_written_names_its_folder(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("copycat.training.recorder.reserve", fill)
    request = compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8"])
    with pytest.raises(UserError, match=rf"^{tmp_path}/0: expected a folder to write to; No space left on device\.$"):
        train(request, folder=tmp_path / "0")


def test_a_target_that_is_no_source_is_one_clear_line(tiny: Path, tmp_path: Path) -> None:
    words = ("data._target_=torch.nn.Identity", "~data.root", "~data.image_size", "~data.fit", "~data.on_unreadable")
    valued = (
        "~data.multi_label",
        "~data.cache",
        "~data.cache_gb",
        "~data.memory_mb",
        "data.max_megapixels=1",
        "~data.max_megapixels",
        "data.groups=x",
        "~data.groups",
    )
    with pytest.raises(UserError, match="expected a source with classes, synthetic and load"):
        train_tiny(*words, *valued, data=tiny, at=tmp_path)


def test_a_logger_that_fails_ends_the_run_as_failed_with_the_reason(tiny: Path, tmp_path: Path) -> None:
    class Away(DummyLogger):
        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("the server is away")

    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}", *QUIET]
    outcome = train(compose_quickly(words), extra_loggers=[Away()])
    assert outcome.status == "failed"
    assert json.loads((outcome.folder / "run.json").read_text())["error"] == "OSError: the server is away"
    assert "Traceback" in (outcome.folder / "train.log").read_text()


def test_a_network_that_writes_to_its_input_is_told_so(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("model._target_=tests.support.networks.InplaceNetwork", *QUIET, data=tiny, at=tmp_path)
    assert outcome.status == "failed"
    assert "writes to it" in outcome.manifest["error"]


def test_a_callback_may_log_what_it_likes(tiny: Path, tmp_path: Path) -> None:
    monitor = "+callbacks.rate._target_=pytorch_lightning.callbacks.LearningRateMonitor"
    outcome = train_tiny(monitor, "trainer.max_epochs=2", data=tiny, at=tmp_path)
    assert outcome.status == "completed"
    assert len(read_history(outcome.folder)) == 2


class Exits(pl.Callback):
    """Call sys.exit, as a script in its place would."""

    def on_train_epoch_end(self, *_: Any) -> None:
        sys.exit("no license")


def test_a_callback_that_exits_fails_the_run_with_its_message(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny(f"+callbacks.exits._target_={__name__}.Exits", *QUIET, data=tiny, at=tmp_path)
    assert (outcome.status, outcome.manifest["error"]) == ("failed", "SystemExit: no license")


def test_a_best_metric_that_grows_is_watched_for_its_maximum(tiny: Path, tmp_path: Path) -> None:
    words = ("callbacks.best.monitor=train/accuracy", "callbacks.best.mode=max", "optimizer=adam", "optimizer.lr=0.05")
    outcome = train_tiny(*words, "trainer.max_epochs=20", data=tiny, at=tmp_path)
    assert outcome.objective == max(row["train/accuracy"] for row in read_history(outcome.folder))


def test_final_metrics_are_of_the_whole_part_whatever_the_limits(tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=1", "data.batch_size=4", *QUIET)
    limited = train_tiny(*words, "trainer.limit_val_batches=1", data=tiny, at=tmp_path).manifest["results"]["final"]
    assert limited == train_tiny(*words, data=tiny, at=tmp_path).manifest["results"]["final"]
