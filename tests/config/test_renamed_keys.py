"""Keys that were renamed: their old names are answered in one line, and recorded ones are read under the new."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.renamed_keys import (
    RENAMED,
    current_keys,
    current_text,
    current_words,
    find_renamed_keys,
    with_current_keys,
)
from copycat.config.sweep_composition import compose_sweep
from tests.support.parameters import mark_slow

NEEDS = {
    "model.keep_statistics": ["model=transfer"],
    "data.broken": ["data=folder", "data.root=images"],
    "augmentation.first": ["augmentation=mixup"],
    "hydra.launcher.max_pack": ["hydra/launcher=packed"],
    "hydra.launcher.at_once": ["hydra/launcher=submitit_local"],
}
"""Options beside which a key was typed."""
OWN_FILES = {
    "model.keep_statistics": "model:\n  keep_statistics: false\n",
    "layer_rates": "layer_rates:\n  layers.*: 0.1\n",
    "data.broken": "data:\n  broken: skip\n",
    "augmentation.first": "augmentation:\n  first:\n    flip: 0.1\n",
    "sweep.change": "sweep:\n  change: true\n",
    "loss.weight": "loss:\n  weight: [1.0, 2.0]\n",
    "callbacks.fed": "callbacks:\n  fed: null\n",
    "callbacks.judged": "callbacks:\n  judged:\n    points: 3\n",
}
"""What an experiment of a user's own said; Hydra's settings stand in none."""
OWN_CLASS = {"_target_": "mine.Mine", "keep_statistics": 1, "broken": 2, "first": 3}


def answer(key: str, present: str) -> str:
    return f"{key}: expected the new name of this key. Type {present}."


def compose_error(*words: str, sweep: bool = False) -> str:
    with pytest.raises(UserError) as error:
        compose_sweep(words) if sweep else compose(words)
    return str(error.value)


SOME = ["layer_rates", "callbacks.fed"]
"""Rows of the table that stand for all, where a test is of a way to type them."""


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_key_is_answered_with_its_new_name(old: str) -> None:
    assert compose_error(*NEEDS.get(old, []), f"{old}=1") == answer(old, RENAMED[old])


@pytest.mark.parametrize("old", mark_slow(RENAMED, fast=SOME))
def test_so_is_one_that_is_added_or_varies_in_a_sweep(old: str) -> None:
    assert compose_error(*NEEDS.get(old, []), f"+{old}=1", "seed=1,2", sweep=True) == answer(old, RENAMED[old])
    if not old.startswith(("sweep.", "hydra.")):  # those vary under no name
        assert compose_error(*NEEDS.get(old, []), f"{old}=1,2", sweep=True) == answer(old, RENAMED[old])


@pytest.mark.parametrize("old", mark_slow(RENAMED, fast=SOME))
def test_so_is_a_key_below_it(old: str) -> None:
    assert compose_error(*NEEDS.get(old, []), f"{old}.count=1") == answer(f"{old}.count", f"{RENAMED[old]}.count")


@pytest.mark.parametrize("old", mark_slow(OWN_FILES, fast=SOME))
def test_so_is_a_key_in_an_experiment_of_ones_own(old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path / "experiments/mine.yaml", f"# @package _global_\n{OWN_FILES[old]}")
    monkeypatch.chdir(tmp_path)
    assert compose_error(*NEEDS.get(old, []), "experiment=mine") == answer(old, RENAMED[old])


OWN_OPTIONS = {
    "augmentation/mixup": "defaults:\n  - first: light\n  - _self_\n"
    "_target_: copycat.data.augmentation.mixing.MixUp\nalpha: 0.2\n",
    "hydra/launcher/packed": "_target_: hydra_plugins.copycat.launchers.PackedLauncher\nmax_pack: 2\n",
    "experiment": "# @package _global_\ndefaults:\n  - override /augmentation: mixup\n"
    "  - override /augmentation/first: strong\n",
}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("augmentation/mixup", "augmentation/first"),
        ("hydra/launcher/packed", "hydra.launcher.max_pack"),
        ("experiment", "augmentation/first"),
    ],
)
def test_so_is_one_in_an_option_of_ones_own(
    name: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "experiments/mine.yaml" if name == "experiment" else f"conf/{name}.yaml"
    write_own(tmp_path / path, OWN_OPTIONS[name])
    monkeypatch.chdir(tmp_path)
    group, _, option = name.rpartition("/")
    word = f"{group}={option}" if group else "experiment=mine"
    slash = "/" in key
    dotted = RENAMED[key.replace("/", ".")]
    assert compose_error(word, "seed=1,2", sweep=True) == answer(key, dotted.replace(".", "/") if slash else dotted)


@pytest.mark.parametrize(
    ("words", "key", "present"),
    [
        (["augmentation=mixup", "augmentation/first=strong"], "augmentation/first", "augmentation/base"),
        (["callbacks=[default,fed]"], "callbacks.fed", "callbacks.input_images"),
        (["callbacks=[default,judged]"], "callbacks.judged", "callbacks.confusion"),
        (
            ["+callbacks.fed={_target_: copycat.inspection.callbacks.input_images.InputImages}"],
            "callbacks.fed",
            "callbacks.input_images",
        ),
        (["layer_rates={layers.*:0.1}"], "layer_rates", "lr_multipliers"),
        (["+layer_rates={layers.*:0.1}"], "layer_rates", "lr_multipliers"),
    ],
)
def test_other_words_that_name_one(words: list[str], key: str, present: str) -> None:
    assert compose_error(*words) == answer(key, present)


def test_so_is_an_axis_in_a_sweep_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(tmp_path / "conf/sweep/mine.yaml", "defaults:\n  - default\nparams:\n  callbacks.fed.count: 1,2\n")
    monkeypatch.chdir(tmp_path)
    assert compose_error("sweep=mine", sweep=True) == answer("callbacks.fed.count", "callbacks.input_images.count")


def test_the_command_prints_one_line_and_imports_no_torch() -> None:
    code = (
        "import sys; from copycat.cli import main\n"
        "try: main(['train', 'layer_rates={a: 1}'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr == f"copycat: {answer('layer_rates', 'lr_multipliers')}\n"


def test_keys_of_ones_own_classes_and_callbacks_keep_their_names() -> None:
    own = "{_target_: torch.nn.Identity, keep_statistics: 1}"
    assert compose([f"+callbacks.fed={own}"]).config["callbacks"]["fed"] == {
        "_target_": "torch.nn.Identity",
        "keep_statistics": 1,
    }
    config = {"model": OWN_CLASS, "data": OWN_CLASS, "augmentation": OWN_CLASS, "callbacks": {"fed": OWN_CLASS}}
    assert find_renamed_keys(config) == {}
    assert with_current_keys(config) == config


def test_every_recorded_key_gets_its_new_name_in_its_place() -> None:
    own = {
        "_target_": "mine.Both",
        "broken": 1,
        "inner": {"_target_": "copycat.data.sources.folder.Folder", "broken": "stop"},
    }
    config: dict[str, Any] = {
        "seed": 1,
        "layer_rates": {"head.*": 10, "broken": 2},
        "model": {"_target_": "copycat.models.transfer.efficientnet_lite0", "keep_statistics": True, "frozen": False},
        "data": own,
        "augmentation": {"_target_": "copycat.data.augmentation.mixing.MixUp", "first": {"flip": 1}, "alpha": 1.0},
        "callbacks": {
            "last": {"_target_": "a.b"},
            "fed": {"_target_": "copycat.inspection.callbacks.input_images.InputImages", "count": 4},
            "judged": None,
        },
    }
    found = with_current_keys(config)
    assert list(found) == ["seed", "lr_multipliers", "model", "data", "augmentation", "callbacks"]
    assert found["lr_multipliers"] == config["layer_rates"]
    assert list(found["model"]) == ["_target_", "freeze_batch_norm", "frozen"]
    assert found["data"]["inner"] == {"_target_": "copycat.data.sources.folder.Folder", "on_unreadable": "stop"}
    assert found["data"]["broken"] == 1
    assert list(found["augmentation"]) == ["_target_", "base", "alpha"]
    assert list(found["callbacks"]) == ["last", "input_images", "confusion"]
    assert with_current_keys(found) == found
    assert find_renamed_keys(config) == {
        "layer_rates": "lr_multipliers",
        "model.keep_statistics": "model.freeze_batch_norm",
        "data.inner.broken": "data.inner.on_unreadable",
        "augmentation.first": "augmentation.base",
        "callbacks.fed": "callbacks.input_images",
        "callbacks.judged": "callbacks.confusion",
    }


@pytest.mark.parametrize("old", RENAMED)
def test_recorded_words_and_values_get_their_new_names(old: str) -> None:
    new = RENAMED[old]
    words = [f"{old}=1", f"+{old}.a={old}", f"~{old}", f"{old.replace('.', '/')}=x", f"x{old}=1", f"{old}s=1"]
    assert current_words(words) == [
        f"{new}=1",
        f"+{new}.a={old}",
        f"~{new}",
        f"{new.replace('.', '/')}=x",
        f"x{old}=1",
        f"{old}s=1",
    ]
    assert current_words(words, {}) == words
    assert current_words([f"sweep.zip=[[{old},seed]]"]) == [f"sweep.zip=[[{new},seed]]"]
    assert current_keys({old: 1, f"{old}.a": 2, "seed": 3}) == {new: 1, f"{new}.a": 2, "seed": 3}
    assert current_text(f"[['{old}', 'seed']]") == f"[['{new}', 'seed']]"


def write_own(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
