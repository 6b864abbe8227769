"""A user's own options, experiments and classes, from a folder that holds nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import copycat
from tests.support.commands import CompletedCommand, run_copycat
from tests.support.run_folders import read_training_losses

pytestmark = pytest.mark.slow

PACKAGE = """
import torch


class Halving(torch.optim.SGD):
    \"\"\"SGD whose rate halves with every step.\"\"\"

    def __init__(self, params, *, lr: float, floor: float = 0.0):
        super().__init__(params, lr=lr)
        self.floor = floor

    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            group["lr"] = max(group["lr"] / 2, self.floor)
        return loss


class OneNeuron(torch.nn.Module):
    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.linear = torch.nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.linear(x.flatten(1))
"""
AUGMENTATION = """
class Brightness:
    draws = 1

    def __init__(self, *, most: float = 0.2):
        self.most = most

    def __call__(self, image, chance):
        factor = 1 + self.most * (2 * chance - 1)
        return (image * factor[:, :, None, None].to(image)).clamp(0, 1)


class Drawless:
    def __call__(self, image, chance):
        return image


class Writing(Brightness):
    def __call__(self, image, chance):
        return image.mul_(0.5)
"""
FILES = {
    "packages/own_augmentation.py": AUGMENTATION,
    "work/conf/augmentation/brightness.yaml": "_target_: own_augmentation.Brightness\nmost: 0.2\n",
    "packages/own_package.py": PACKAGE,
    "work/conf/optimizer/mine.yaml": "_target_: own_package.Halving\n_partial_: true\nlr: 0.01\nfloor: 0.001\n",
    "work/conf/model/own.yaml": "_target_: own_package.OneNeuron\nin_features: null\nout_features: null\n",
    "work/conf/scheduler/constant.yaml": (
        "_target_: torch.optim.lr_scheduler.StepLR\n_partial_: true\nstep_size: 1\ngamma: 0.5\ninterval: epoch\n"
    ),
    "work/experiments/own.yaml": (
        "# @package _global_\ndefaults:\n  - override /model: own\n  - override /optimizer: mine\nseed: 5\n"
    ),
    "work/experiments/own_too.yaml": "# @package _global_\nseed: 6\n",
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with the user's own files; their package lies elsewhere, on PYTHONPATH."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "work"


def run_with_packages(*words: str, at: Path) -> CompletedCommand:
    return run_copycat(*words, at=at, environment={"PYTHONPATH": str(at.parent / "packages")})


def run_copycat_script(*words: str, at: Path) -> CompletedCommand:
    """Run the installed script, which has no folder of the user's on its path, unlike `python -m copycat`."""
    environment = os.environ | {"PYTHONPATH": str(Path(copycat.__file__).parents[1])}
    script = Path(sys.executable).parent / "copycat"
    return subprocess.run([script, *words], capture_output=True, text=True, cwd=at, env=environment)


def train_and_list_runs(*words: str, at: Path, run: Callable[..., CompletedCommand] = run_with_packages) -> list[Path]:
    """The run folders that a training made, oldest first."""
    ran = run("train", *words, "trainer.max_epochs=2", at=at)
    assert ran.returncode == 0, ran.stderr
    manifests = sorted(at.glob("outputs/**/run.json"), key=os.path.getmtime)
    assert [json.loads(file.read_text())["status"] for file in manifests] == ["completed"] * len(manifests)
    return [file.parent for file in manifests]


def test_a_wrong_key_for_ones_own_class_is_held_against_its_signature(work: Path) -> None:
    ran = run_with_packages("train", "optimizer=mine", "+optimizer.flor=0.1", at=work)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "own_package.Halving takes floor, lr, params; got 'flor'. Did you mean optimizer.floor?" in ran.stderr
    assert not (work / "outputs").exists()


def test_an_augmentation_of_ones_own_changes_what_is_trained_on(work: Path, tiny: Path) -> None:
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    train_and_list_runs("augmentation=brightness", *data, at=work)
    train_and_list_runs("augmentation=brightness", "augmentation.most=0.0", *data, at=work)
    runs = train_and_list_runs(*data, at=work)
    changed, unchanged, none = map(read_training_losses, runs)
    assert changed != none
    assert unchanged == none


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Drawless", "augmentation._target_: expected one with draws and a call; got 'own_augmentation.Drawless'"),
        ("Writing", "augmentation: expected one that leaves its input as it is; got one that writes to it."),
    ],
)
def test_an_augmentation_that_cannot_work_is_named(name: str, line: str, work: Path, tiny: Path) -> None:
    words = ["augmentation=brightness", f"augmentation._target_=own_augmentation.{name}", "trainer.max_epochs=2"]
    if name == "Drawless":
        words.append("~augmentation.most")
    ran = run_with_packages("train", *words, "data=folder", f"data.root={tiny}", "data.image_size=8", at=work)
    assert ran.returncode == 2, ran.stderr
    assert line in ran.stderr


def test_own_experiments_are_swept_by_a_glob_and_packaged_options_remain(work: Path, tiny: Path) -> None:
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    runs = train_and_list_runs("-m", "experiment=glob(own*)", *data, at=work)
    manifests = [json.loads((run / "run.json").read_text()) for run in runs]
    assert [manifest["request"]["experiment"] for manifest in manifests] == ["own", "own_too"]
    first, second = [(run / "config.yaml").read_text() for run in runs]
    assert "own_package.OneNeuron" in first
    assert "copycat.models.networks.mlp" in second  # the packaged default
    assert "\nseed: 5" in f"\n{first}"
    assert "\nseed: 6" in f"\n{second}"


def test_a_file_of_ones_own_wins_over_the_packaged_one_of_its_name(work: Path) -> None:
    ran = run_with_packages("train", "--cfg", "job", "--package", "scheduler", at=work)
    assert "_target_: torch.optim.lr_scheduler.StepLR" in ran.stdout


def test_own_and_packaged_options_stand_in_one_list(work: Path) -> None:
    line = run_with_packages("train", "optimizer=nope", at=work).stderr
    assert "adam, adamax" in line
    assert "mine" in line


def test_a_module_in_the_working_folder_needs_no_path(work: Path, tiny: Path) -> None:
    (work.parent / "packages" / "own_package.py").rename(work / "own_package.py")
    words = ("experiment=own", "data=folder", f"data.root={tiny}", "data.image_size=8")
    train_and_list_runs(*words, at=work, run=run_copycat_script)


def test_a_module_in_the_working_folder_hides_no_installed_one(work: Path) -> None:
    (work / "omegaconf.py").write_text("raise RuntimeError('not this one')\n")
    (work / "torch.py").write_text("raise RuntimeError('not this one')\n")
    assert run_copycat_script("inspect", "model=shallow", "model.in_features=1", at=work).returncode == 0


LOOKED_FOR = ("torchvision", "triton", "olefile", "defusedxml", "pandas", "scipy", "safetensors", "tensorboard", "yaml")
"""Packages that others import where they find them, installed or not."""


def test_a_file_in_the_working_folder_is_taken_for_no_package(work: Path, tiny: Path) -> None:
    def plant(folder: Path) -> None:
        for name in LOOKED_FOR:
            (folder / f"{name}.py").write_text("open(__file__ + '.imported', 'w').close()\n")

    (work.parent / "packages" / "own_package.py").rename(work / "own_package.py")
    plant(work)
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    words = ("-m", "experiment=own,own_too", *data, "hydra/launcher=processes", "hydra.launcher.workers=2")
    trials = train_and_list_runs(*words, at=work, run=run_copycat_script)
    own, other = sorted(trials)  # by number: two workers may end in either order
    plant(other)
    for command, folder in ((("predict", ".", str(tiny)), other), (("rerun", str(own)), work)):
        ran = run_copycat_script(*command, at=folder)
        assert ran.returncode == 0, ran.stderr
    assert list(work.rglob("*.imported")) == []


def test_another_hydra_program_beside_copycat_sees_nothing_of_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import hydra\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='main')\n"
        "def main(config):\n"
        "    from hydra.core.hydra_config import HydraConfig\n"
        "    print([source.path for source in HydraConfig.get().runtime.config_sources], dict(config))\n"
        "main()\n"
    )
    for folder in ("conf", "experiments"):
        (tmp_path / folder).mkdir()
    (tmp_path / "conf" / "main.yaml").write_text("size: 3\n")
    (tmp_path / "experiments" / "a.yaml").write_text("size: 4\n")
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "{'size': 3}" in ran.stdout
    assert "experiments" not in ran.stdout
    refused = subprocess.run([sys.executable, program, "experiment=a"], capture_output=True, text=True, cwd=tmp_path)
    assert "Could not override 'experiment'" in refused.stderr
