"""A network is written in each format that can hold it, and refused in others."""

from pathlib import Path

import pytest
import torch

from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.export import export
from copycat.deploy.export_formats import Format
from copycat.deploy.predictor import open_predictor
from copycat.records.predictions import read_predictions
from copycat.training.components import build_data
from tests.support.parameters import mark_slow
from tests.support.runs import QUIET, train_tiny


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
@pytest.mark.parametrize("form", mark_slow(["safetensors", "torch", "onnx", "openvino"], fast=["safetensors"]))
def test_a_run_of_another_precision_is_exported_or_refused(
    form: Format, precision: str, tiny: Path, tmp_path: Path
) -> None:
    words = ("model=cnn", "model.channels=[4]", "trainer.max_epochs=1", f"trainer.precision={precision}")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path / "runs").folder
    if form in ("onnx", "openvino") and precision == "bf16-true":
        with pytest.raises(
            UserError, match=rf"^--format {form}: expected weights of 32 or 64 bit; got bfloat16, .*\.$"
        ):
            export(open_completed(folder), form, to=tmp_path / "to")
        assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    else:
        done = export(open_completed(folder), form, to=tmp_path / "to")
        assert done.difference is not None
        assert max(done.difference, done.difference_on_files) <= 1e-5


@pytest.mark.slow
def test_a_frozen_backbone_goes_along_but_not_as_safetensors(tiny: Path, tmp_path: Path) -> None:
    words = ("model=transfer", "model.backbone_size=32", "trainer.max_epochs=1")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    difference = export(open_completed(folder), "onnx", to=tmp_path / "onnx").difference
    assert difference is not None
    assert difference <= 1e-5
    with pytest.raises(
        UserError, match=r"^--format safetensors: expected a network of .* Type --format onnx, or torch"
    ):
        export(open_completed(folder), "safetensors", to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


class Filter(torch.nn.Module):
    """Weights of three precisions, complex ones among them."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.stem = torch.nn.Linear(in_features, 8, dtype=torch.bfloat16)
        self.response = torch.nn.Parameter(torch.randn(5, dtype=torch.complex64))
        self.head = torch.nn.Linear(8, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x.flatten(1).bfloat16()).float()
        logits: torch.Tensor = self.head(torch.fft.irfft(torch.fft.rfft(stem) * self.response, n=8))
        return logits


@pytest.mark.parametrize("form", mark_slow(["safetensors", "torch"], fast=["safetensors"]))
def test_each_weight_keeps_the_precision_that_it_was_trained_in(form: Format, tiny: Path, tmp_path: Path) -> None:
    model = (f"model._target_={__name__}.Filter", "~model.style", "~model.hidden", "~model.activation")
    folder = train_tiny("trainer.max_epochs=1", *model, *QUIET, data=tiny, at=tmp_path / "runs").folder
    opened = open_completed(folder)
    images = build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"].images
    assert isinstance(images, torch.Tensor)
    with open_predictor(opened) as predictor:
        found = predictor(images)[:, 1].numpy()
    assert found == pytest.approx(read_predictions(folder, classes=2)["val"].probability[:, 1], abs=1e-6)
    difference = export(opened, form, to=tmp_path / "to").difference
    is_needed = "made by tests, which use.py must find on PYTHONPATH" in (tmp_path / "to" / "README.md").read_text()
    assert is_needed == (form == "safetensors")
    assert difference is not None
    assert difference <= 1e-5


class Strange(torch.nn.Module):
    """No exporter follows it."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(x.flatten(1))
        return logits if logits.sum() < 1e9 else -logits


def test_a_network_that_torch_cannot_export_is_a_clear_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = (f"model._target_={__name__}.Strange", "~model.style", "~model.hidden", "~model.activation")
    words = ("trainer.max_epochs=1", *model)
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    capsys.readouterr()
    with pytest.raises(UserError, match=r"^--format torch: expected a network that torch can export; .* Try --format"):
        export(open_completed(folder), "torch", to=tmp_path / "to")
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "to").exists()
