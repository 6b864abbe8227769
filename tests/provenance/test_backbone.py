"""A run knows its frozen backbone by its weights, whatever the path that they lie at says."""

from pathlib import Path

import pytest
import torch

from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.predictor import open_predictor
from copycat.models.efficientnet import EfficientNetLite0
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import current_differences
from copycat.training.resume import resume
from tests.support.run_folders import change_manifest
from tests.support.runs import QUIET, train_tiny


def write_weights(path: Path, *, seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.save(EfficientNetLite0().state_dict(), path)


def test_a_backbone_whose_file_was_replaced_is_refused_wherever_the_run_is_opened(tiny: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    write_weights(weights, seed=0)
    words = ("model=transfer", f"model.weights={weights}", "model.backbone_size=32", "trainer.max_epochs=1", *QUIET)
    folder = train_tiny(*words, data=tiny, at=tmp_path / "runs").folder
    recorded = read_manifest(folder)["provenance"]["backbone"]
    with open_predictor(open_completed(folder)):
        pass
    write_weights(weights, seed=1)
    with (
        pytest.raises(UserError, match=rf"expected the backbone .*; its weights were {recorded[:12]} and are"),
        open_predictor(open_completed(folder)),
    ):
        pass
    kinds = [cause.kind for cause in current_differences(open_recorded(folder))]
    assert kinds == ["weights"]
    change_manifest(folder, lambda manifest: manifest.update(status="interrupted"))
    with pytest.raises(UserError, match="expected the backbone"):
        resume(open_run(folder), say=lambda line: None)


def test_a_network_without_a_backbone_records_none(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    assert "backbone" not in read_manifest(folder)["provenance"]
