"""Memory format, activation checkpointing and compilation give the plain run, each within its tolerance."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from copycat.config.errors import UserError
from copycat.models import networks
from copycat.models.compiled_network import find_missing_compiler
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.comparison import compare
from copycat.reruns.rerun import rerun
from copycat.training.network_settings import apply_network_settings
from copycat.training.resume import resume
from copycat.training.train import RunResult
from tests.support.killed_runs import assert_same_folders, kill_run, train_killable
from tests.support.parameters import mark_slow
from tests.support.run_folders import read_training_losses
from tests.support.runs import QUIET, train_tiny

CNN = ("model=cnn", "model.channels=[4,8]", "trainer.max_epochs=5", "trainer.threads=1", "optimizer=adam")
BATCHES = ("data.batch_size=5", "data.shuffle=true", "augmentation=light")
EQUAL_BATCHES = (*BATCHES, "data.batch_size=8")
"""Of one size, for which a network is compiled once."""
CHANNELS_LAST, CHECKPOINTS, COMPILED = (
    f"trainer.{name}=true" for name in ("channels_last", "activation_checkpointing", "compile")
)
TOLERANCES = {CHANNELS_LAST: 1e-5, CHECKPOINTS: 0.0, COMPILED: 1e-5}
"""Largest relative difference of a loss from the plain run's, without dropout."""


@pytest.fixture(scope="module", autouse=True)
def _own_compiler_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is compiled in the module's own folder: one test finds compiled what another needed too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def train_cnn(*words: str, data: Path, at: Path) -> RunResult:
    run = train_tiny(*CNN, *words, data=data, at=at)
    assert run.status == "completed", run.manifest["error"]
    return run


@pytest.mark.parametrize("setting", mark_slow(TOLERANCES, fast=[CHANNELS_LAST, CHECKPOINTS]))
@pytest.mark.parametrize("steps", ["1", "null"])
def test_a_run_is_near_the_plain_one(setting: str, steps: str, tiny: Path, tmp_path: Path) -> None:
    words = (*QUIET, *EQUAL_BATCHES, "model.dropout=0", "model.batch_norm=true", f"trainer.steps_per_execution={steps}")
    plain, changed = (train_cnn(*words, *more, data=tiny, at=tmp_path).folder for more in ((), (setting,)))
    losses = read_training_losses(changed)
    assert losses == pytest.approx(read_training_losses(plain), rel=TOLERANCES[setting], abs=0)
    weights = [load_file(folder / "weights.safetensors") for folder in (plain, changed)]
    assert [*weights[0]] == [*weights[1]]
    if not TOLERANCES[setting]:
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_checkpointed_dropout_has_the_bits_of_the_plain_run(tiny: Path, tmp_path: Path) -> None:
    words = (*QUIET, *BATCHES, "model.dropout=0.5")
    plain, changed = (train_cnn(*words, *more, data=tiny, at=tmp_path) for more in ((), (CHECKPOINTS,)))
    assert plain.manifest["results"]["weights_digest"] == changed.manifest["results"]["weights_digest"]


@pytest.mark.parametrize("setting", mark_slow(TOLERANCES, fast=[CHANNELS_LAST, CHECKPOINTS]))
def test_any_number_of_steps_at_once_gives_the_bits_of_single_steps(setting: str, tiny: Path, tmp_path: Path) -> None:
    words = ("logger=none", *BATCHES, "model.dropout=0.3", setting)
    single, many = (
        train_cnn(*words, f"trainer.steps_per_execution={steps}", data=tiny, at=tmp_path) for steps in ("1", "null")
    )
    assert not compare(open_run(many.folder), open_run(single.folder)).differences


@pytest.mark.parametrize("setting", mark_slow(TOLERANCES, fast=[CHANNELS_LAST, CHECKPOINTS]))
def test_a_killed_run_goes_on_to_the_same_bits_and_is_rerun_to_them(
    setting: str, tiny: Path, tmp_path: Path, all_checkpoints: None
) -> None:
    """The last batch of an epoch has fewer images: it is what a resumed run compiles first."""
    words = [*CNN, *BATCHES, "trainer.max_epochs=3", "model.dropout=0.2", setting]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=("batch", 4))
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)
    found = rerun(open_recorded(folder), notify=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences
    key = setting.partition(".")[2].removesuffix("=true")
    assert open_run(folder).config["trainer"][key] is True


@pytest.mark.slow
def test_all_settings_together_train_near_the_plain_run(tiny: Path, tmp_path: Path) -> None:
    words = (*QUIET, *EQUAL_BATCHES, "model.dropout=0", "model.batch_norm=true", "trainer.accumulate_grad_batches=2")
    settings = (CHANNELS_LAST, CHECKPOINTS, COMPILED, "trainer.precision=bf16-mixed")
    plain, changed = (train_cnn(*words, *more, data=tiny, at=tmp_path).folder for more in ((), settings))
    assert read_training_losses(changed) == pytest.approx(read_training_losses(plain), abs=5e-2)
    assert not any("_orig_mod" in name for name in load_file(changed / "weights.safetensors"))


@pytest.mark.slow
def test_more_networks_than_torch_keeps_are_compiled_each_as_alone(tiny: Path, tmp_path: Path) -> None:
    """Torch keeps some versions of one function, here a single one, and would run a further one as it is."""
    from torch._dynamo import config

    def digest(width: int, *words: str) -> str:
        of = ("model.dropout=0.3", "trainer.max_epochs=1", *QUIET, f"model.channels=[{width}]", *words)
        return str(train_cnn(*of, data=tiny, at=tmp_path).manifest["results"]["weights_digest"])

    with config.patch(accumulated_recompile_limit=1, recompile_limit=1):
        found = [digest(2, COMPILED), digest(3, COMPILED)]
    assert found[1] != digest(3), "the second must have been compiled too"
    assert found == [digest(2, COMPILED), digest(3, COMPILED)]


@pytest.mark.parametrize("normalize", ["null", "train"])
@pytest.mark.parametrize("setting", [CHANNELS_LAST, CHECKPOINTS])
def test_a_setting_without_effect_is_refused(setting: str, normalize: str, tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", setting, f"normalize={normalize}")
    with pytest.raises(UserError, match=rf"^{re.escape(setting)}: expected .* got MLP, .* Type {setting[:-4]}false\.$"):
        train_tiny(*words, *QUIET, data=tiny, at=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_blocks_of_a_normalized_network_are_those_of_the_network_itself() -> None:
    cnn = networks.CNN(image_shape=(3, 8, 8), channels=[4, 8], out_features=1, activation=nn.ReLU, dropout=0)
    apply_network_settings(networks.Normalized(cnn, mean=[0.5], std=[0.2]), {"activation_checkpointing": True})
    assert [name for name, module in cnn.named_modules() if "forward" in vars(module)] == ["features"]


def test_a_machine_without_a_compiler_is_told_before_there_is_a_folder(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"^trainer.compile=true: expected a C\+\+ compiler, .*compile=false.$"):
        train_tiny(*CNN, COMPILED, "trainer.accelerator=cpu", data=tiny, at=tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert find_missing_compiler("cpu") == "no-such-compiler"
    assert not list(tmp_path.iterdir())


def test_the_default_run_records_that_nothing_was_set(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("model=shallow", *QUIET, "trainer.max_epochs=1", data=tiny, at=tmp_path).folder
    trainer = open_run(folder).config["trainer"]
    assert not any(trainer[name] for name in ("compile", "channels_last", "activation_checkpointing"))
    assert read_manifest(folder)["status"] == "completed"
