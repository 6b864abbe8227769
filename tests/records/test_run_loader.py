"""Whose a run folder is, and what of a stranger's may be built."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.places import CONF, EXPERIMENTS
from copycat.config.untrusted import check_untrusted
from copycat.records.background_writer import BackgroundWriter
from copycat.records.checkpoint_file import damage, is_own
from copycat.records.run_loader import open_recorded, open_run, read_checkpoint
from copycat.records.target_policy import make_untrusted_check
from copycat.reruns.rerun import rerun
from copycat.training.checkpoint_io import AtomicCheckpointIO
from tests.support.parameters import mark_slow
from tests.support.run_folders import change_config, strip_signature
from tests.support.runs import QUIET, train_tiny

NEEDS = {
    "optimizer=sparse_adam": ["model=bag_of_colors"],
    "model=bag_of_colors": ["optimizer=sparse_adam"],
    "loss=cross_entropy": [],
    "data=folder": ["data.root=images"],
    "scheduler=one_cycle": ["optimizer=adam"],
    "data=csv": ["data.file=labels.csv"],
    "data=hub": ["data.name=cifar10"],
    "data=hf": ["data.name=rows"],
    "data=shards": ["data.root=rows"],
    "data=webdataset": ["data.root=rows"],
    "data=lance": ["data.root=rows"],
    "augmentation=pipeline": ["augmentation.transforms=[{_target_:kornia.augmentation.RandomHorizontalFlip}]"],
}
STRANGE = ("timm", "torchvision")
OPTIONS = [
    f"{file.parent.name}={file.stem}"
    for file in sorted(CONF.glob("*/*.yaml"))
    # a server, and packages that make what is in no class of ours: refused, as docs/explanation/trust.md says
    if file.stem not in ("clearml", "mlflow", "wandb", *STRANGE)
    and file.parent.name != "sweep"  # what varies over runs, and is in no run's config
]


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return train_tiny("trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path / "runs").folder


def test_an_empty_or_missing_configuration_is_named(folder: Path) -> None:
    (folder / "config.yaml").write_bytes(b"")
    with pytest.raises(UserError, match=r"config\.yaml: expected a run's configuration; it is empty\. Restore it"):
        open_run(folder)
    (folder / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml: expected a file of the run; it is missing\. Restore it"):
        open_run(folder)


@pytest.mark.parametrize(
    "option", mark_slow(OPTIONS, fast={option.split("=")[0]: option for option in OPTIONS}.values())
)
def test_each_option_that_ships_may_be_built_from_a_strangers_folder(option: str) -> None:
    config = compose([option, *NEEDS.get(option, [])]).config
    check_untrusted(config, where="config.yaml", refuse=make_untrusted_check())


@pytest.mark.parametrize("option", STRANGE)
def test_a_network_of_another_package_may_not(option: str) -> None:
    config = compose([f"model={option}", "model.name=resnet18"]).config
    with pytest.raises(UserError, match="model"):
        check_untrusted(config, where="config.yaml", refuse=make_untrusted_check())


EXPERIMENT_NAMES = sorted({file.stem for file in EXPERIMENTS.glob("*.yaml")} - {"ensemble"})
"""Those that are no sweep."""


@pytest.mark.parametrize("name", mark_slow(EXPERIMENT_NAMES, fast=["cnn_augmented", "transfer_finetuned"]))
def test_each_experiment_may_be_built_from_a_strangers_folder(name: str) -> None:
    check_untrusted(compose([f"experiment={name}"]).config, where="config.yaml", refuse=make_untrusted_check())


def test_a_run_is_one_s_own_wherever_its_folder_is_moved(folder: Path, tmp_path: Path) -> None:
    assert open_run(folder).own
    assert open_run(Path(shutil.move(folder, tmp_path / "moved"))).own


@pytest.mark.parametrize("change", ["config", "manifest", "signature", "key"])
def test_a_folder_that_was_changed_or_signed_elsewhere_is_a_strangers(
    change: str, folder: Path, copycat_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    if change == "config":
        change_config(folder, lambda config: config.update(seed=5))
    if change == "manifest":
        (folder / "run.json").write_text(json.dumps({**manifest, "seconds": 1.0}))
    if change == "signature":
        (folder / "run.json").write_text(json.dumps({**manifest, "signature": "0" * 64}))
    if change == "key":
        monkeypatch.setenv("COPYCAT_SETTINGS", str(tmp_path / "another"))
    assert not open_run(folder).own


def test_a_checkpoint_that_names_files_is_read_only_where_the_user_wrote_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train_tiny("trainer.max_epochs=1", "logger=none", data=tiny, at=tmp_path).folder
    opened, path = open_run(folder), folder / "checkpoints" / "last.ckpt"
    writer = BackgroundWriter()
    checkpoint = read_checkpoint(path, opened)
    checkpoint["callbacks"] = {"ModelCheckpoint": {"best_model_path": "/home/user/thesis.tex"}}
    AtomicCheckpointIO(writer, path.parent).save_checkpoint(checkpoint, path)
    writer.wait()
    assert is_own(path)
    assert read_checkpoint(path, opened)["callbacks"] == checkpoint["callbacks"]
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("COPYCAT_SETTINGS", str(tmp_path / "settings"))
        AtomicCheckpointIO(writer, path.parent).save_checkpoint(checkpoint, path)
        writer.wait()
    assert damage(path) is None
    assert opened.own
    with pytest.raises(UserError, match="expected callbacks that name no file"):
        read_checkpoint(path, opened)


def test_a_strangers_run_downloads_nothing(folder: Path) -> None:
    hub = {"_target_": "copycat.data.sources.hub.Hub", "name": "cifar10", "download": True}
    sizes = ("root", "groups")
    change_config(folder, lambda config: config["data"].update(hub) or [config["data"].pop(key) for key in sizes])
    opened = open_run(folder)
    assert not opened.own
    assert opened.config["data"]["download"] is False
    change_config(folder, lambda config: config["data"].update(name="https://example.org/data"))
    with pytest.raises(UserError, match=r"data\.name: expected nothing on another machine"):
        open_run(folder)


def test_the_key_is_for_its_owner_s_eyes(folder: Path, copycat_settings: Path) -> None:
    assert (copycat_settings / "key").stat().st_mode & 0o777 == 0o600
    assert (copycat_settings / "key").read_bytes().hex() not in (folder / "run.json").read_text()


def test_a_run_whose_settings_can_t_be_written_is_made_all_the_same(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COPYCAT_SETTINGS", str(tmp_path / "file" / "settings"))
    outcome = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path / "runs")
    assert outcome.status == "completed"
    assert not open_run(outcome.folder).own


def test_a_strangers_run_is_copied_into_outputs_wherever_it_wanted_to_write(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strip_signature(folder)
    aimed = tmp_path / "aimed"
    change_config(folder, lambda config: config.update(output_dir=str(aimed)))
    monkeypatch.chdir(tmp_path)
    found = rerun(open_recorded(folder), notify=lambda line: None)
    assert found.comparison.differences == []
    assert found.outcome.folder.parts[0] == "outputs"
    assert not aimed.exists()


def test_a_user_s_package_is_built_once_they_name_it(
    folder: Path, tmp_path: Path, copycat_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "labkit_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(
        "from torch import nn\n\n\n"
        "class Mean(nn.Module):\n"
        "    def __init__(self, *, out_features):\n"
        "        super().__init__()\n"
        "        self.head = nn.Linear(3, out_features)\n\n"
        "    def forward(self, x):\n"
        "        return self.head(x.mean((2, 3)))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    strip_signature(folder)
    change_config(folder, lambda config: config.update(model={"_target_": "labkit_of_a_test.nets.Mean"}))
    with pytest.raises(
        UserError, match=r"model\._target_: .* add labkit_of_a_test\.nets to packages in .*trusted\.yaml"
    ):
        open_run(folder)
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "trusted.yaml").write_text(yaml.safe_dump({"packages": ["labkit_of_a_test.nets"]}))
    monkeypatch.setenv("COPYCAT_SETTINGS", str(settings))
    assert not open_run(folder).own
    assert rerun(open_recorded(folder), notify=lambda line: None).outcome.status == "completed"


def test_a_package_that_the_user_trusts_is_not_taken_from_the_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labkit_beside_a_test.py").write_text("from torch.nn import Identity as Mean\n")
    strip_signature(folder)
    change_config(folder, lambda config: config.update(model={"_target_": "labkit_beside_a_test.Mean"}))
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "trusted.yaml").write_text(yaml.safe_dump({"packages": ["labkit_beside_a_test"]}))
    monkeypatch.setenv("COPYCAT_SETTINGS", str(settings))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="No module named 'labkit_beside_a_test'"):
        open_run(folder)


@pytest.mark.parametrize(
    "content", ["packages: mine", "packages: [os]", "packages: [torch]", "[1", "mine", "packages: [1]"]
)
def test_a_list_of_trust_that_says_nothing_is_named(
    content: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "trusted.yaml").write_text(content)
    monkeypatch.setenv("COPYCAT_SETTINGS", str(settings))
    with pytest.raises(UserError, match=r"trusted\.yaml: expected "):
        open_run(folder)
    assert os.listdir(settings) == ["trusted.yaml"]
