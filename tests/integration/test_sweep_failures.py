"""Trials that fail: each with its reason, and the sweep goes on."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.commands import run_copycat
from tests.support.run_folders import assert_same_bits
from tests.support.sweeps import read_sweep_file, read_trial_files, tiny_sweep_overrides

pytestmark = pytest.mark.slow

WAYS = {
    "crash": "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    "diverge": "is nan",
    "memory": "MemoryError: out of memory",
    "slow": "time limit: it took more than 5 s",
    "built": "model: networks.FailingNetwork refuses this: expected another width",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with networks of its own."""
    shutil.copy(Path(__file__).parents[1] / "support" / "networks.py", tmp_path)
    option = tmp_path / "conf" / "model" / "fails.yaml"
    option.parent.mkdir(parents=True)
    for name, network in (("fails", "FailingNetwork"), ("looks", "ProcessStateNetwork")):
        node = f"_target_: networks.{network}\nin_features: null\nout_features: null\nhow: not\n"
        option.with_name(f"{name}.yaml").write_text(node)
    return tmp_path


def test_of_fifteen_trials_five_fail_in_five_ways_and_ten_give_results(tiny: Path, own: Path) -> None:
    good = ",".join(["not"] * 2)
    ways = ",".join(f"{good},{way}" for way in WAYS)
    done = run_copycat(
        *(
            "train",
            "-m",
            "hydra/launcher=processes",
            *tiny_sweep_overrides(tiny, "model=fails", f"model.how={ways}", "loss=bce_with_logits"),
        ),
        *("trainer.max_epochs=2", "sweep.max_seconds=5", "sweep.folder=sweep"),
        at=own,
    )
    assert done.returncode == 1, done.stderr
    found = read_trial_files(own / "sweep")
    assert sorted(found) == list(range(15))
    assert sum(trial["status"] == "completed" for trial in found.values()) == 10
    failed = {trial["values"]["model.how"]: trial["error"] for trial in found.values() if trial["status"] == "failed"}
    assert failed.keys() == WAYS.keys()
    for way, said in WAYS.items():
        assert said in failed[way]
    assert read_sweep_file(own / "sweep")["status"] == "failed"


def test_a_worker_that_is_killed_is_replaced_and_its_trial_tried_again(tiny: Path, own: Path) -> None:
    done = run_copycat(
        *(
            "train",
            "-m",
            "hydra/launcher=processes",
            *tiny_sweep_overrides(tiny, "model=fails", "model.how=not,killed,not"),
        ),
        *("trainer.max_epochs=1", "sweep.folder=sweep"),
        at=own,
    )
    assert done.returncode == 1, done.stderr
    found = read_trial_files(own / "sweep")
    assert [found[number]["status"] for number in range(3)] == ["completed", "failed", "completed"]
    assert found[1]["error"] == "its process was ended by SIGKILL: out of memory?, 3 times at epoch 0"


def test_too_many_failures_stop_a_sweep(tiny: Path, own: Path) -> None:
    done = run_copycat(
        *("train", "-m", *tiny_sweep_overrides(tiny, "model=fails", "model.how=crash,not,crash,not,not")),
        *("trainer.max_epochs=1", "sweep.max_failures=2", "sweep.folder=sweep"),
        at=own,
    )
    assert done.returncode == 1
    assert sorted(read_trial_files(own / "sweep")) == [0, 1, 2]
    assert read_sweep_file(own / "sweep")["status"] == "stopped"


def test_a_trial_leaves_nothing_behind_for_the_next(tiny: Path, own: Path) -> None:
    """Trial 7 of a sweep has the bits of the same trial alone: nothing of those before, which failed, stays."""
    more = ("optimizer=adam", "data.batch_size=5", "data.shuffle=true", "trainer.max_epochs=3")
    ways = "not,crash,diverge,memory,not,built,not"
    sweep = (
        "train",
        "-m",
        *tiny_sweep_overrides(tiny, "model=fails", f"model.how={ways}", *more),
        "sweep.folder=sweep",
    )
    run_copycat(*sweep, at=own)
    run_copycat("train", *tiny_sweep_overrides(tiny, "model=fails", *more), "output_dir=alone", at=own)
    (alone,) = own.glob("alone/*/*/*/")
    assert_same_bits(own / "sweep" / "6", alone)


@pytest.mark.parametrize("launcher", [("basic",), ("processes", "hydra.launcher.workers=1")])
def test_what_a_trial_changes_in_its_process_is_as_before_for_the_next(
    launcher: tuple[str, ...], tiny: Path, own: Path
) -> None:
    kind, *more = launcher
    sweep = ("model=looks", "model.how=not,no,mess,mess,none", "logger=tensorboard", "sweep.folder=sweep", *more)
    done = run_copycat("train", "-m", f"hydra/launcher={kind}", *tiny_sweep_overrides(tiny), *sweep, at=own)
    found = read_trial_files(own / "sweep")
    statuses = [found[number]["status"] for number in sorted(found)]
    assert statuses == ["completed", "completed", "failed", "failed", "completed"], done.stderr
    before, after = (load_file(own / "sweep" / number / "weights.safetensors") for number in ("1", "4"))
    assert before["seen"].tolist() == after["seen"].tolist()
    assert before["linear.weight"].equal(after["linear.weight"])
