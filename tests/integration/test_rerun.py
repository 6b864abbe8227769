"""Reruns as a user types them; what is planted between a run and its copy is found, and named first."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from copycat.config.compose import compose
from copycat.config.places import CONF, EXPERIMENTS
from copycat.records.run_loader import open_recorded
from copycat.reruns.rerun import rerun
from copycat.training.train import train
from tests.support.commands import (
    CompletedCommand,
    run_copycat,
    run_copycat_in_new_interpreter,
    start_copycat,
)
from tests.support.run_folders import find_newest_run

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[2] / "src"
WORDS = ("data=folder", "data.image_size=8", "trainer.max_epochs=5", "trainer.threads=2")
IDENTICAL = "identical: 5 epochs, 2 tensors, bit for bit\n"


def train_by_command(at: Path, images: Path, *words: str) -> Path:
    done = run_copycat("train", *WORDS, f"data.root={images}", *words, at=at)
    assert done.returncode == 0, done.stderr
    return find_newest_run(at)


@pytest.fixture(scope="module")
def once(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained by the command."""
    return train_by_command(tmp_path_factory.mktemp("once"), tiny)


@pytest.fixture
def folder(once: Path, tmp_path: Path) -> Path:
    """Its folder, moved to where the test may change it."""
    return shutil.copytree(once, tmp_path / "run")


def first_cause(done: CompletedCommand) -> str:
    return next(line for line in done.stdout.splitlines() if line.startswith("1. "))


@pytest.mark.parametrize("name", ["lecture", "shallow", "deep", "cnn_augmented", "transfer_finetuned"])
def test_an_experiment_is_the_same_when_it_is_rerun(name: str, cats_folder: Path, tmp_path: Path) -> None:
    short = ["trainer.max_epochs=2", "trainer.check_val_every_n_epoch=2", "logger=none"]
    if name.startswith("transfer"):  # an epoch of the whole takes as long as a hundred of the others
        short += ["model.backbone_size=32", "trainer.limit_train_batches=3"]
    outcome = train(compose([f"experiment={name}", *short, f"output_dir={tmp_path}"]))
    found = rerun(open_recorded(outcome.folder), notify=lambda line: None)
    assert outcome.status == found.outcome.status == "completed"
    assert found.comparison.epochs == 2
    assert found.comparison.tensors >= 2
    assert (list(found.comparison.differences), list(found.causes)) == ([], [])


def test_a_check_and_a_rerun_are_one_line_and_end_with_0(folder: Path, tmp_path: Path) -> None:
    done = run_copycat("rerun", "--check", folder, at=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "same fingerprints\n", "")
    done = run_copycat("rerun", folder, at=tmp_path)
    assert (done.returncode, done.stdout) == (0, IDENTICAL)
    (said,) = done.stderr.splitlines()
    copy = said.removeprefix("copycat: the copy is in ")
    again = run_copycat("rerun", copy, at=tmp_path)
    assert (again.returncode, again.stdout) == (0, done.stdout)


# ----- planted, one at a time


def test_one_pixel_is_found_and_its_image_named_first(folder: Path, tiny: Path, tmp_path: Path) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    path = images / "train" / "dog" / "3.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[4, 2, 1] ^= 1
    Image.fromarray(pixels).save(path)
    done = run_copycat("rerun", folder, "--data", images, at=tmp_path)
    assert done.returncode == 1
    assert "differs from the original: data: " in done.stderr
    assert first_cause(done).startswith("1. data: ")
    assert "dog/3.png" in done.stdout
    assert run_copycat("rerun", folder, "--check", "--data", images, at=tmp_path).returncode == 1


def test_one_package_s_version_is_found_and_both_versions_named_first(folder: Path, tmp_path: Path) -> None:
    fake = tmp_path / "site" / "rich-99.0.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: rich\nVersion: 99.0\n")
    path = {"PYTHONPATH": str(fake.parent)}
    done = run_copycat("rerun", folder, "--check", at=tmp_path, environment=path)
    assert done.returncode == 1
    assert first_cause(done).startswith("1. packages: ")
    assert re.search(r"rich\b.*\b\d+\.\d+\.\d+\b.*\b99\.0\b", done.stdout)
    # it is said first, and the rerun goes on: that package computes nothing
    done = run_copycat("rerun", folder, at=tmp_path, environment=path)
    assert (done.returncode, done.stdout) == (0, IDENTICAL)
    assert "differs from the original: packages: " in done.stderr


def test_another_thread_count_is_found_and_named_first(folder: Path, tmp_path: Path) -> None:
    other = "2" if os.environ["OMP_NUM_THREADS"] == "1" else "1"
    done = run_copycat("rerun", folder, "--check", at=tmp_path, environment={"OMP_NUM_THREADS": other})
    assert done.returncode == 1
    assert first_cause(done).startswith("1. machine: ")
    assert "OMP_NUM_THREADS" in done.stdout
    # the run's own count is used all the same
    assert run_copycat_in_new_interpreter("rerun", folder, at=tmp_path, OMP_NUM_THREADS=other).returncode == 0


def test_one_line_of_code_is_found_and_shown_first(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(PACKAGE, other / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for place in (CONF, EXPERIMENTS):
        shutil.copytree(place, other / place.name)
    module = other / "src" / "copycat" / "data" / "loaders.py"
    text = module.read_text()
    assert text.count(".div_(255)") == 1
    module.write_text(text.replace(".div_(255)", ".div_(256)"))
    done = run_copycat("rerun", folder, at=tmp_path, environment={"PYTHONPATH": str(other / "src")})
    assert done.returncode == 1
    assert "differs from the original: code: " in done.stderr
    assert first_cause(done).startswith("1. code: ")
    assert "first difference" in done.stdout


def test_a_tolerance_is_said(folder: Path, tmp_path: Path) -> None:
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("\n  lr: 0.001\n", "\n  lr: 0.00100001\n"))
    done = run_copycat("rerun", folder, "--tolerance", "1e-3", at=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"within 0.001: 5 epochs, 2 tensors; largest distance \S+, .+\n", done.stdout)


# ----- what is rerun


def test_a_trial_of_a_sweep_is_rerun_and_the_sweep_says_which_there_are(tiny: Path, tmp_path: Path) -> None:
    sweep = train_by_command(tmp_path, tiny, "-m", "optimizer.lr=0.1,0.2").parent
    done = run_copycat("rerun", sweep, at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"expected one run; got a folder of 2: 0, 1. The best of them: copycat runs --best {sweep}." in done.stderr
    done = run_copycat("rerun", sweep / "1", at=tmp_path)
    assert (done.returncode, done.stdout) == (0, IDENTICAL)


def test_a_copy_that_is_interrupted_ends_with_130_and_says_nothing_of_the_same(tiny: Path, tmp_path: Path) -> None:
    folder = train_by_command(tmp_path, tiny, "trainer.max_epochs=3000", "trainer.check_val_every_n_epoch=1000")
    with start_copycat("rerun", folder, at=tmp_path) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("outputs/*/*/*/metrics.csv"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("copycat: interrupted.\n")


# ----- a named experiment


def test_a_named_experiment_is_held_against_its_committed_results(cats_folder: Path, tmp_path: Path) -> None:
    """Of full batches: between processors, mini-batches of few images drift apart."""
    done = run_copycat("rerun", "experiments/deep", "--tolerance", "0.03", at=tmp_path)
    assert (done.returncode, done.stdout) == (0, "same: 10 losses, 15 metrics, within 0.03\n")


def test_results_of_one_s_own_that_differ_are_shown_in_a_table(images: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /data: folder\n"
        f"data:\n  root: {images}\n  image_size: 8\n  split: holdout\ntrainer:\n  max_epochs: 2\n"
    )
    without = run_copycat("rerun", "experiments/mine.yaml", at=tmp_path)
    assert (without.returncode, without.stdout) == (2, "")
    assert "mine.json: expected the results to compare with; got none" in without.stderr
    results = tmp_path / "experiments" / "mine.json"
    results.write_text('{"losses": {"0": "9.000000", "1": "9.000000"}, "final": {"val/accuracy": "0.0001"}}')
    done = run_copycat("rerun", "experiments/mine", at=tmp_path)
    assert done.returncode == 1
    found = dict(re.findall(r"│ (.+?) +│ +[\d.]+ │ +([\d.]+) │", done.stdout))
    assert list(found) == ["train/loss of epoch 0", "train/loss of epoch 1", "final val/accuracy"]
    losses = f'{{"0": "{found["train/loss of epoch 0"]}", "1": "{found["train/loss of epoch 1"]}"}}'
    results.write_text(f'{{"losses": {losses}, "final": {{"val/accuracy": "{found["final val/accuracy"]}"}}}}')
    done = run_copycat("rerun", "experiments/mine.json", at=tmp_path)
    assert (done.returncode, done.stdout) == (0, "same: 2 losses, 1 metric, to all digits\n")
