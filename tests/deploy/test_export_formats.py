"""Formats that round or compile: what they hold, what they say of themselves, and where they are refused."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from copycat.config.errors import FailedDownloadError, UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.export import export
from copycat.deploy.export_formats import check_format
from copycat.deploy.web_runtime import load_web_runtime
from tests.support.commands import call_copycat
from tests.support.runs import QUIET, train_tiny

CNN = ("model=cnn", "model.channels=[4,4]", "optimizer=adam", "optimizer.lr=0.01", "trainer.max_epochs=20")


@pytest.mark.slow
def test_int8_computes_in_8_bits_and_says_what_that_costs(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_tiny(*CNN, *QUIET, data=tiny, at=tmp_path / "runs").folder
    call_copycat("export", folder, "--format", "int8", "--to", tmp_path / "to")
    printed = capsys.readouterr().out
    model = onnx.load(tmp_path / "to" / "model.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= set(kinds)
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert sum(array.dtype == np.int8 and array.ndim == 4 for array in weights.values()) == kinds.count("Conv")
    session = onnxruntime.InferenceSession(tmp_path / "to" / "model.onnx")
    files = sorted((tiny / "val").glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files])
    found = session.run(None, {"image": pixels})[0]
    label = [["cat", "dog"].index(file.parent.name) for file in files]
    after = (found.argmax(1) == label).mean()
    assert re.search(rf"^accuracy on the validation images: \d\.\d{{4}} before, {after:.4f} after$", printed, re.M)
    card = (tmp_path / "to" / "README.md").read_text()
    assert f"| after, in 8 bits | {after:.4f} |" in card
    assert "on average, of which\n0.05 is accepted" in card
    assert "Ranges of activations are those of 16 training images." in card
    with pytest.raises(UserError, match=r"^--format int8: expected probabilities within 0 on average of the run"):
        export(open_completed(folder), "int8", to=tmp_path / "strict", tolerance=0)
    assert not (tmp_path / "strict").exists()


def test_int8_needs_the_training_images(tiny: Path, tmp_path: Path) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=images, at=tmp_path / "runs").folder
    shutil.rmtree(images)
    expected = (
        f"--format int8: expected the run's training images, which set the ranges; its images in {images} are not"
    )
    with pytest.raises(UserError, match=rf"^{expected} there\. Put them back\.$"):
        export(open_completed(folder), "int8", to=tmp_path / "to")


class Unquantizable(torch.nn.Module):
    """Has no operator with weights."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(out_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None] * self.scale


@pytest.mark.slow
def test_int8_of_a_network_without_anything_to_quantize_is_refused(tiny: Path, tmp_path: Path) -> None:
    model = (f"model._target_={__name__}.Unquantizable", "~model.style", "~model.hidden", "~model.activation")
    folder = train_tiny("trainer.max_epochs=1", *model, *QUIET, data=tiny, at=tmp_path / "runs").folder
    with pytest.raises(UserError, match=r"^--format int8: expected a network with one of Conv, MatMul, Gemm; got noth"):
        export(open_completed(folder), "int8", to=tmp_path / "to")


def test_without_a_compiler_or_npm_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"^--format aotinductor: expected c\+\+, .*; found none\. Install one, "):
        check_format("aotinductor")
    with pytest.raises(UserError, match=r"^--format web: expected npm; found none\. Install Node\.js"):
        check_format("web")


def test_without_its_package_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    line = r"^--format openvino: expected openvino; openvino is not installed\. Type pip install 'copycat-ml\[openvin"
    with pytest.raises(UserError, match=line):
        check_format("openvino")


@pytest.mark.parametrize("word", ["-1", "2", "x"])
def test_a_tolerance_is_a_share(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("export", tmp_path, "--format", "onnx", f"--tolerance={word}", status=2)
    assert f"--tolerance: expected a number from 0 to 1; got '{word}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ('echo other > "$4/ort.tgz"', r"expected onnxruntime-web@1\.30\.0 with sha512-q0y.*; npm downloaded sha512-"),
        (
            "echo npm error: no network >&2; exit 1",
            r"expected npm to download onnxruntime-web@.*; npm error: no network\.$",
        ),
        ("exit 0", r"expected onnxruntime-web@1\.30\.0 with sha512-q0y.*; npm downloaded sha512-z4Ph"),  # of nothing
    ],
)
def test_a_runtime_that_npm_cannot_bring_is_one_line_and_is_not_kept(
    script: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FailedDownloadError, match=f"^--format web: {line}"):
        load_web_runtime(lambda _: None)
    assert not (tmp_path / "cache").exists()
