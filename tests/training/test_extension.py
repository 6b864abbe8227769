"""A completed run trains on to the bits of one that was asked for all epochs."""

from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records.digests import digest_file
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.resume import resume
from copycat.training.train import train
from tests.support.callbacks import KillCallback, SimulatedKill
from tests.support.commands import call_copycat
from tests.support.killed_runs import JOBS, assert_same_folders, kill_run, train_killable
from tests.support.parameters import mark_slow
from tests.support.run_folders import change_config
from tests.support.runs import QUIET, compose_quickly, train_tiny

pytestmark = pytest.mark.usefixtures("all_checkpoints")


@pytest.mark.parametrize("job", [*mark_slow(["cosine", "moving_average"], fast=["cosine"])])
def test_a_completed_run_trains_on_to_the_bits_of_one_that_was_asked_for_all_epochs(
    job: str, tiny: Path, tmp_path: Path
) -> None:
    words = [*JOBS[job], "optimizer=adam", "data.shuffle=true"]
    reference = train_killable(tiny, tmp_path, *words, "trainer.max_epochs=5").folder
    folder = train_killable(tiny, tmp_path, *words).folder
    assert resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 5}).status == "completed"
    assert_same_folders(folder, reference)
    manifest = read_manifest(folder)
    assert manifest["request"]["overrides"][-1] == "trainer.max_epochs=5"
    assert "trainer.max_epochs=3" not in manifest["request"]["overrides"]
    assert [(entry["epoch"], entry["max_epochs"]) for entry in manifest["resumed"]] == [(3, 5)]
    found = rerun(open_recorded(folder), notify=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences
    assert found.comparison.epochs == 5


def test_an_extended_run_whose_best_epoch_was_its_former_last_is_rerun_without_a_difference(
    tiny: Path, tmp_path: Path
) -> None:
    worse = ["scheduler=multi_step", "scheduler.milestones=[3]", "scheduler.gamma=1e4", "optimizer=momentum"]
    folder = train_killable(tiny, tmp_path, *worse).folder
    resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 5})
    assert read_manifest(folder)["results"]["best"]["epoch"] == 2
    assert not rerun(open_recorded(folder), notify=lambda line: None).comparison.differences


def test_a_run_that_was_killed_as_it_began_to_train_on_is_resumed_as_any_other(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path, "trainer.max_epochs=5").folder
    folder = train_killable(tiny, tmp_path).folder
    KillCallback.after = ("batch", 13)
    with pytest.raises(SimulatedKill):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 5})
    KillCallback.after = None
    assert not (folder / "weights.safetensors").exists()
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)


@pytest.mark.parametrize("more", [{}, {"trainer.max_epochs": 3}])
def test_an_extension_that_was_killed_before_it_was_recorded_begins_again(
    more: dict[str, int], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["callbacks=default", "logger=none", "trainer.max_epochs=2"]  # classes of Copycat: the signature is void
    folder = train_tiny(*words, data=tiny, at=tmp_path).folder

    def die(*_: object) -> None:
        raise SimulatedKill

    with monkeypatch.context() as patched:
        patched.setattr("copycat.training.resume.write_manifest", die)
        with pytest.raises(SimulatedKill):
            resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 3})
    assert read_manifest(folder)["status"] == "completed"
    assert resume(open_run(folder), notify=lambda line: None, more=more).status == "completed"
    assert read_manifest(folder)["request"]["config_digest"] == digest_file(folder / "config.yaml")
    assert not rerun(open_recorded(folder), notify=lambda line: None).comparison.differences
    assert len(read_history(folder)) == 3


def test_a_run_that_was_killed_after_it_had_stopped_early_does_not_train_on(tiny: Path, tmp_path: Path) -> None:
    early = ["callbacks=early_stopping", "callbacks.early_stopping.min_delta=9", "callbacks.early_stopping.patience=1"]
    folder = kill_run(tiny, tmp_path, *early, "callbacks.last.every_n_steps=1", after=("end", 8))
    with pytest.raises(UserError, match=r"it stopped early, after 2 of 3 epochs\.$"):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 4})
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"


def test_a_run_that_early_stopping_ended_with_its_last_epoch_does_not_train_on(tiny: Path, tmp_path: Path) -> None:
    early = ["callbacks=early_stopping", "callbacks.early_stopping.min_delta=9", "callbacks.early_stopping.patience=2"]
    folder = train_killable(tiny, tmp_path, *early).folder
    with pytest.raises(UserError, match=r"it stopped early, after 3 of 3 epochs\.$"):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 4})


def test_a_stopped_run_that_has_the_requested_epochs_is_to_be_resumed_without_them(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, after=("batch", 6))
    with pytest.raises(UserError, match=rf"got 3\. Type copycat resume {folder}, which trains all 3\.$"):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 3})


def test_a_schedule_made_for_fewer_epochs_stays_and_is_named(tiny: Path, tmp_path: Path) -> None:
    folder = train_killable(tiny, tmp_path, "scheduler=cosine").folder
    said: list[str] = []
    resume(open_run(folder), notify=said.append, more={"trainer.max_epochs": 4})
    assert "scheduler.T_max stays 3, as the run began with it" in said


@pytest.mark.parametrize(
    ("words", "max_epochs", "message"),
    [
        (["scheduler=one_cycle", "optimizer=adam"], 4, r"scheduler\.total_steps: .*this cycle ends after 3\. Type"),
        ([], 3, r"trainer\.max_epochs: expected more than the run's 3; got 3\.$"),
        (["callbacks=none"], 4, r"expected the checkpoint of its last epoch; it has none\. Type copycat rerun"),
        (JOBS["mean_of_epochs"], 4, r"callbacks\.swa: expected none, as it starts at a share of trainer\.max_epochs"),
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.min_delta=9", "callbacks.early_stopping.patience=1"],
            4,
            r"it stopped early, after 2 of 3 epochs\.$",
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
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": max_epochs})
    assert all(file.read_bytes() == content for file, content in before.items())


def test_the_command_takes_more_epochs_and_no_other_key(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_killable(tiny, tmp_path).folder
    call_copycat("resume", folder, "optimizer.lr=1", status=2)
    assert "trainer.max_epochs=MORE, trainer.max_time=MORE; got 'optimizer.lr=1'" in capsys.readouterr().err
    call_copycat("resume", folder, "trainer.max_epochs=4")
    assert len(read_history(folder)) == 4


def test_a_run_whose_configuration_was_changed_does_not_train_on(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    change_config(folder, lambda config: config.update(seed=77))
    with pytest.raises(UserError, match=r"config\.yaml: .* changed since: seed\. Restore it"):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 2})
    assert read_manifest(folder)["status"] == "completed"


def test_a_run_whose_checkpoint_is_damaged_does_not_train_on_and_says_nothing_else(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=2", *QUIET, "callbacks=default", data=tiny, at=tmp_path).folder
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"half")
    said: list[str] = []
    with pytest.raises(UserError, match=r"expected the checkpoint of its last epoch; .* Type copycat rerun"):
        resume(open_run(folder), notify=said.append, more={"trainer.max_epochs": 3})
    assert said == []
