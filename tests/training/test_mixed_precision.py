"""Mixed precision trains near the plain run, records its metrics in full precision, and resumes to the same bits."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.export import export
from copycat.deploy.predictor import open_predictor
from copycat.models.classifier import Classifier
from copycat.models.losses import BCE
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.components import build_data
from copycat.training.resume import resume
from copycat.training.run_context import probability_digest
from tests.support.killed_runs import assert_same_folders, kill_run, train_killable
from tests.support.parameters import mark_slow
from tests.support.run_folders import read_training_losses
from tests.support.runs import QUIET, train_tiny

CNN = ("model=cnn", "model.channels=[4,8]", "model.dropout=0", "trainer.max_epochs=6", "trainer.threads=1")
HALF = ("trainer._target_=tests.support.trainers.HalfTrainer", "trainer.precision=16-mixed")
"""Float16 with a gradient scaler on the CPU."""
BFLOAT = ("trainer.precision=bf16-mixed",)
PRECISIONS = {"bf16": (BFLOAT, 2e-2), "16": (HALF, 2e-3)}
"""Words, and the largest difference of a loss from the plain run's: bfloat16 has 8 bits, float16 has 11."""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", mark_slow(["bce", "bce_with_logits", "cross_entropy", "focal", "mse"], fast=["bce"]))
def test_losses_are_those_of_the_plain_run_but_for_rounding(
    loss: str, precision: str, tiny: Path, tmp_path: Path
) -> None:
    words, tolerance = PRECISIONS[precision]
    of = (*CNN, *QUIET, f"loss={loss}", "data.batch_size=4")
    plain, mixed = (read_training_losses(train_tiny(*of, *more, data=tiny, at=tmp_path).folder) for more in ((), words))
    assert mixed == pytest.approx(plain, abs=tolerance)
    assert mixed != plain, "the network must have been in half precision"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_killed_run_goes_on_to_the_same_bits_and_is_rerun_to_them(
    precision: str, tiny: Path, tmp_path: Path, all_checkpoints: None
) -> None:
    words = ["model=cnn", "model.channels=[4]", "model.dropout=0.2", "data.shuffle=true", "augmentation=light"]
    words += ["optimizer=adam", "trainer.accumulate_grad_batches=2", *PRECISIONS[precision][0]]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=("batch", 4))
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)
    found = rerun(open_recorded(folder), notify=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences


def test_a_checkpoint_holds_the_scale_of_the_gradients(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny(*CNN, *HALF, "+trainer.scale=1024", "logger=none", data=tiny, at=tmp_path).folder
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["MixedPrecision"]["scale"] == 1024
    assert checkpoint["MixedPrecision"]["_growth_tracker"] == 6


def test_gradients_that_overflow_are_skipped_and_are_no_divergence(tiny: Path, tmp_path: Path) -> None:
    run = train_tiny(*CNN, *HALF, "+trainer.scale=1048576", *QUIET, data=tiny, at=tmp_path)
    assert run.status == "completed"
    losses = read_training_losses(run.folder)
    assert losses[0] == losses[1], "the first step must have been skipped"
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_final_metrics_are_those_of_the_exported_weights_in_float32(precision: str, tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny(*CNN, *QUIET, *PRECISIONS[precision][0], data=tiny, at=tmp_path / "runs").folder
    opened = open_run(folder)
    images = build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"].images
    assert isinstance(images, Tensor)
    with open_predictor(open_completed(folder)) as predictor:
        found = predictor(images)[:, 1]
    assert probability_digest(found) == opened.manifest["results"]["predictions_digest"]
    assert read_history(folder)[-1]["val/loss"] == opened.manifest["results"]["final"]["val/loss"]
    assert export(open_completed(folder), "torch", to=tmp_path / "to").difference == pytest.approx(0, abs=1e-6)


def test_losses_and_probabilities_of_a_training_step_are_not_rounded_to_half() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    classifier = Classifier(network, loss=BCE(), optimizer=torch.optim.SGD, scheduler=lambda _: None, classes=2)  # type: ignore[arg-type,return-value]
    image, label = torch.rand(8, 3, 2, 2), torch.arange(8) % 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(image).float()
        loss = classifier.training_step({"image": image, "label": label}, 0)
    expected = nn.functional.binary_cross_entropy(logits.sigmoid(), label.float()[:, None])
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    probability, _ = classifier.metrics["train"].predictions()
    assert torch.equal(probability, logits.sigmoid()[:, 0])


def test_float16_is_refused_on_the_cpu_whichever_way_it_is_chosen(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.training.network_settings.choose_device", lambda _: torch.device("cpu"))
    for accelerator in ("auto", "cpu"):
        with pytest.raises(UserError, match=re.escape("Type trainer.precision=bf16-mixed.")):
            train_tiny("trainer.precision=16-mixed", f"trainer.accelerator={accelerator}", data=tiny, at=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_precision_is_recorded(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny(*QUIET, *BFLOAT, "trainer.max_epochs=1", data=tiny, at=tmp_path).folder
    assert read_manifest(folder)["provenance"]["environment"]["precision"] == "bf16-mixed"
