"""`copycat train`: its help, and the configuration that it prints."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from copycat.config.places import CONF
from tests.support.commands import call_copycat, run_copycat


def test_the_help_of_train_names_every_group_and_how_to_type(tmp_path: Path) -> None:
    answer = run_copycat("train", "--help", at=tmp_path)
    assert answer.returncode == 0
    for group in (
        "activation",
        "augmentation",
        "callbacks",
        "data",
        "experiment",
        "logger",
        "loss",
        "model",
        "optimizer",
        "scheduler",
    ):
        assert f"\n{group}: " in answer.stdout
    keys = answer.stdout.partition("Keys of a sweep")[2]
    for group in ("hydra/launcher", "hydra/sweeper/sampler", "hydra/sweeper/pruner"):
        options = {file.stem for file in (CONF / group).glob("*.yaml")} - {"none"}
        assert f"  {group}=" in keys
        assert {option for option in options if not re.search(rf"\b{option}\b", keys)} == set()
    assert "copycat train model=deep optimizer=adam optimizer.lr=1e-3" in answer.stdout
    assert os.listdir(tmp_path) == []


def test_every_key_that_the_help_of_train_shows_is_there(tmp_path: Path) -> None:
    page = run_copycat("train", "--help", at=tmp_path).stdout
    shown = page.partition("The most common keys")[2].partition("Flags:")[0]
    words = [word for word in shown.split() if "=" in word]
    assert len(words) > 10
    answer = run_copycat("train", "model=shallow", "data=folder", "--cfg", "job", *words, at=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_configuration_is_printed_as_it_was_asked_for(tmp_path: Path) -> None:
    answer = run_copycat("train", "optimizer=adam", "--cfg", "job", "optimizer.lr=0.25", at=tmp_path)
    assert "lr: 0.25" in answer.stdout
    assert answer.stderr == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("words", "command"), [([], "copycat runs"), (["output_dir=my out"], "copycat runs 'my out'")])
def test_the_last_next_command_lists_the_runs_of_the_folder_of_the_run(
    words: list[str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call_copycat("train", "trainer.max_epochs=1", "callbacks=none", "logger=none", *words)
    assert capsys.readouterr().out.splitlines()[-1].strip() == command
    call_copycat(*shlex.split(command)[1:])


@pytest.mark.parametrize("in_training", [False, True], ids=["as a callback is made", "in training"])
def test_ctrl_c_that_a_library_hides_behind_an_error_of_its_own_interrupts_a_run(
    in_training: bool, tiny: Path, tmp_path: Path
) -> None:
    losing = f"+callbacks.losing={{_target_: tests.support.callbacks.LosesCtrlC, in_training: {in_training}}}"
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    call_copycat("train", *data, "trainer.max_epochs=1", losing, f"output_dir={tmp_path}", status=130)
    statuses = [json.loads(manifest.read_text())["status"] for manifest in tmp_path.rglob("run.json")]
    assert statuses == (["interrupted"] if in_training else [])
