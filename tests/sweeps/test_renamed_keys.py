"""Sweeps and trials with renamed configuration keys are still read and resumed."""

import json
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from copycat.config.errors import UserError
from copycat.config.sweep_composition import compose_sweep
from copycat.records.digests import key_digests
from copycat.records.trial_file import read_own_trial
from copycat.sweeps.search.parameters import make_parameters
from copycat.sweeps.start import open_sweep_folder
from copycat.sweeps.sweep_file import read_own_sweep, write_sweep
from tests.support.commands import call_copycat
from tests.support.old_names import rewrite_record, rewrite_run
from tests.support.sweeps import read_sweep_file, read_trial_files, tiny_sweep_overrides

WORDS = ("model=shallow", "model.hidden=[3]", "augmentation=mixup", "callbacks=none", "lr_multipliers={layers.0.*:0.5}")
AXES = ("augmentation/base=none,light", "data.on_unreadable=stop,skip")


def test_a_sweep_is_resumed_and_its_trials_that_ended_stay(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "sweep"
    call_copycat("train", "-m", *tiny_sweep_overrides(tiny, *WORDS, *AXES), f"sweep.folder={sweep}")
    before, described = read_trial_files(sweep), read_own_sweep(sweep)
    own = [read_own_trial(sweep / str(number)) for number in range(4)]
    rewrite_record(sweep / "sweep.json")
    for number in range(4):
        rewrite_record(sweep / str(number) / "trial.json")
        rewrite_run(sweep / str(number))
    text = "".join(path.read_text() for path in sweep.rglob("*.json"))
    for old, new in [("augmentation/first", "augmentation/base"), ("broken", "on_unreadable"), ("layer_rates", "lr_m")]:
        assert old in text
        assert new not in text
    assert read_own_sweep(sweep) == described
    assert [read_own_trial(sweep / str(number)) for number in range(4)] == own

    for number in (2, 3):  # left by a process that was killed
        rewrite_record(sweep / str(number) / "trial.json", status="running", ended=None, objectives={})
    rewrite_run(sweep / "2", status="interrupted", files={})
    (sweep / "3" / "run.json").unlink()
    capsys.readouterr()
    call_copycat("resume", sweep)
    after = read_trial_files(sweep)
    assert [after[number]["status"] for number in range(4)] == ["completed"] * 4
    assert [after[number]["ended"] for number in (0, 1)] == [before[number]["ended"] for number in (0, 1)]
    assert [after[number]["objectives"] for number in range(4)] == [before[number]["objectives"] for number in range(4)]
    assert [after[number]["overrides"] for number in (2, 3)] == [before[number]["overrides"] for number in (2, 3)]
    assert not list(sweep.glob("2-*"))  # its run was not set aside as another's
    assert json.loads((sweep / "2" / "run.json").read_text())["resumed"]
    assert read_sweep_file(sweep)["words"] == described.words
    capsys.readouterr()
    call_copycat("runs", sweep, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["sweep"]["varies"] == ["augmentation/base", "data.on_unreadable"]
    assert all({"augmentation/base", "data.on_unreadable"} <= row.keys() for row in found["runs"])
    call_copycat("report", sweep)


def test_a_search_finds_the_parameters_of_a_study_by_their_old_names() -> None:
    space = compose_sweep(["augmentation=mixup", *AXES[:1], "seed=1,2"]).space
    study = optuna.create_study()
    spread = CategoricalDistribution(["none", "light"])
    study.add_trial(
        create_trial(value=1.0, params={"augmentation/first": "none"}, distributions={"augmentation/first": spread})
    )
    found = make_parameters(space, study)
    assert {axis: parameter.name for axis, parameter in found.items()} == {
        "augmentation/base": "augmentation/first",
        "seed": "seed",
    }
    assert found["augmentation/base"].overrides("light") == ["augmentation/base=light"]


def test_a_moved_class_is_no_change_of_the_sweep(tmp_path: Path) -> None:
    asked = compose_sweep(["data=drawn", "seed=1,2", f"sweep.folder={tmp_path / 'sweep'}"])
    folder = open_sweep_folder(asked)
    found, key = read_own_sweep(folder), "data._target_"
    for target in ("copycat.data.drawn.Drawn", asked.shared["data"]["_target_"]):
        digests = key_digests({key: target})
        write_sweep(folder, replace(found, config_keys={**found.config_keys, **digests}))
        assert open_sweep_folder(asked) == folder
        assert read_own_sweep(folder).config_keys == found.config_keys
    write_sweep(folder, replace(found, config_keys={**found.config_keys, **key_digests({key: "another.Drawn"})}))
    with pytest.raises(UserError, match=r"changed since: data\._target_"):
        open_sweep_folder(asked)
