"""A run keeps its backbone by the digest of its weights, whatever the path that they came from holds now."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from copycat.archives.packing import pack
from copycat.archives.unpacking import unpack
from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.predictor import open_predictor
from copycat.models.efficientnet import EfficientNetLite0
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import current_differences, rerun
from copycat.training.resume import resume
from tests.support.run_folders import change_manifest
from tests.support.runs import QUIET, train_tiny


def write_weights(path: Path, *, seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.save(EfficientNetLite0().state_dict(), path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a cache of its own: features and weights that other tests stored would hide what it stores."""
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def train_on(weights: Path, *words: str, data: Path, at: Path) -> Path:
    where = ("model=transfer", f"model.weights={weights}", "model.backbone_size=32", "trainer.max_epochs=1")
    return train_tiny(*where, *words, *QUIET, data=data, at=at).folder


def probabilities(folder: Path) -> torch.Tensor:
    with open_predictor(open_completed(folder)) as predict:
        return predict(torch.arange(8 * 8 * 3, dtype=torch.uint8).view(1, 3, 8, 8))


def test_a_run_keeps_its_backbone_when_the_file_is_replaced_or_gone(tiny: Path, tmp_path: Path, cache: Path) -> None:
    weights = tmp_path / "weights.pth"
    write_weights(weights, seed=0)
    folder = train_on(weights, data=tiny, at=tmp_path / "runs")
    stored = cache / "weights" / f"{read_manifest(folder)['provenance']['backbone']}.safetensors"
    original = torch.load(weights, weights_only=True)
    assert all(torch.equal(tensor, original[name]) for name, tensor in load_file(stored).items())
    before = probabilities(folder)
    write_weights(weights, seed=1)
    assert torch.equal(probabilities(folder), before)
    weights.unlink()
    assert torch.equal(probabilities(folder), before)
    again = rerun(open_recorded(folder), notify=lambda line: None)
    assert not again.comparison.differences
    assert not again.causes
    change_manifest(folder, lambda manifest: manifest.update(status="interrupted"))
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"


def test_a_package_brings_the_backbone_where_neither_file_nor_cache_has_it(
    tiny: Path, tmp_path: Path, cache: Path
) -> None:
    weights = tmp_path / "weights.pth"
    write_weights(weights, seed=0)
    folder = train_on(weights, data=tiny, at=tmp_path / "runs")
    before = probabilities(folder)
    pack(folder, tmp_path / "it.zip")
    weights.unlink()
    shutil.rmtree(cache)
    there = unpack(tmp_path / "it.zip", tmp_path / "there").folder / "run"
    assert torch.equal(probabilities(there), before)
    again = rerun(open_recorded(there), notify=lambda line: None)
    assert not again.comparison.differences


@pytest.mark.parametrize("damaged", [False, True])
def test_a_backbone_that_is_neither_at_its_place_nor_stored_is_refused_wherever_the_run_is_opened(
    damaged: bool, tiny: Path, tmp_path: Path, cache: Path
) -> None:
    weights = tmp_path / "weights.pth"
    write_weights(weights, seed=0)
    folder = train_on(weights, data=tiny, at=tmp_path / "runs")
    recorded = read_manifest(folder)["provenance"]["backbone"]
    stored = cache / "weights" / f"{recorded}.safetensors"
    if damaged:
        content = bytearray(stored.read_bytes())
        content[-1] ^= 1
        stored.write_bytes(content)
    else:
        stored.unlink()
    probabilities(folder)  # the file is there
    write_weights(weights, seed=1)
    with pytest.raises(UserError, match=rf"expected the backbone .*; its weights were {recorded[:12]} and are"):
        probabilities(folder)
    kinds = [cause.kind for cause in current_differences(open_recorded(folder))]
    assert kinds == ["weights"]
    change_manifest(folder, lambda manifest: manifest.update(status="interrupted"))
    with pytest.raises(UserError, match="expected the backbone"):
        resume(open_run(folder), notify=lambda line: None)


def test_a_fine_tuned_run_needs_no_pretrained_weights_to_predict(tiny: Path, tmp_path: Path, cache: Path) -> None:
    weights = tmp_path / "weights.pth"
    write_weights(weights, seed=0)
    folder = train_on(weights, "model.frozen=false", data=tiny, at=tmp_path / "runs")
    before = probabilities(folder)
    weights.unlink()
    shutil.rmtree(cache)
    assert torch.equal(probabilities(folder), before)


def test_a_network_without_a_backbone_records_none(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    assert "backbone" not in read_manifest(folder)["provenance"]
