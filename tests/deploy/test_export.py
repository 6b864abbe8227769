"""What is exported says what the run says, without Copycat."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copycat.cli import main
from copycat.config.errors import UserError
from copycat.deploy.export import FILES, FORMATS, MOST, export
from copycat.deploy.predictor import opened_predictor
from tests.support.commands import run_copycat
from tests.support.parameters import mark_slow
from tests.support.runs import QUIET, train_tiny

NETWORKS = {
    "logistic": ("model=logistic",),
    "deep": ("model=deep", "model.hidden=[6,4]", "activation=leaky_relu", "activation.negative_slope=0.2"),
    "sequential": ("model=shallow", "model.style=sequential", "loss=cross_entropy"),
    "cnn": ("model=cnn", "model.channels=[4]", "loss=bce_with_logits"),
    "linear": ("model=linear",),
}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name == "cnn" else pytest.mark.slow) for name in NETWORKS]
)
def folder(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("trainer.max_epochs=3", *NETWORKS[request.param])
    return train_tiny(*words, *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.mark.parametrize("form", mark_slow(FORMATS, fast=["safetensors", "onnx"]))
def test_its_script_says_what_the_run_says_where_copycat_is_not(form: str, folder: Path, tmp_path: Path) -> None:
    done = export(folder, form, to=tmp_path / "model")  # type: ignore[arg-type]
    assert done.difference is not None
    assert done.difference <= MOST
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    with opened_predictor(folder) as predictor:
        expected = predictor(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].tolist()
    assert len((tmp_path / "model" / "use.py").read_text().splitlines()) <= 14
    script = (
        "import runpy, sys; sys.modules['copycat'] = None; sys.path[0] = '.'; sys.argv[1:] = ['../image.png']\n"
        "runpy.run_path('use.py', run_name='__main__'); sys.exit()"
    )
    used = run_copycat(at=tmp_path / "model", program=script)
    assert used.returncode == 0, used.stderr
    said = dict(line.split() for line in used.stdout.splitlines())
    assert list(said) == ["cat", "dog"]
    assert [float(value) for value in said.values()] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("form", mark_slow(["torch", "onnx"], fast=["torch"]))
def test_any_number_of_images_goes_in_at_once(form: str, folder: Path, tmp_path: Path) -> None:
    export(folder, form, to=tmp_path)  # type: ignore[arg-type]
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    with opened_predictor(folder) as predictor:
        expected = predictor(images)
    if form == "torch":
        program = torch.export.load(tmp_path / FILES[form]).module()
        found = [program(images[:count]) for count in (1, 5)]
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(tmp_path / FILES[form])
        found = [torch.from_numpy(session.run(None, {"image": images[:count].numpy()})[0]) for count in (1, 5)]
        assert [file.name for file in tmp_path.glob("*.onnx*")] == ["model.onnx"]  # one file holds all
    for said, count in zip(found, (1, 5), strict=True):
        assert torch.allclose(said, expected[:count], atol=MOST)


def test_the_card_says_what_it_is_and_how_sure(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_tiny("trainer.max_epochs=3", *QUIET, data=tiny, at=tmp_path).folder
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["export", str(folder), "--format", "torch"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(folder / "export" / "torch")
    assert out[1].startswith("largest difference on the validation images: ")
    card = (folder / "export" / "torch" / "README.md").read_text()
    assert "16 train, 8 val images" in card
    assert "| accuracy |" in card
    assert "of 8×8" in card
    assert "## Licence" in card
    with pytest.raises(SystemExit, match=r"^0$"):  # the run is as good as before
        main(["rerun", str(folder)])


def test_where_the_images_are_gone_it_is_said_that_nothing_was_held_against_them(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "images"
    os.symlink(tiny, moved)
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=moved, at=tmp_path / "runs").folder
    moved.unlink()
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["export", str(folder), "--format", "torch", "--to", str(tmp_path / "to")])
    assert "not held against the validation images" in capsys.readouterr().err


@pytest.mark.slow
def test_a_frozen_backbone_goes_along_but_not_as_safetensors(tiny: Path, tmp_path: Path) -> None:
    words = ("model=transfer", "model.backbone_size=32", "trainer.max_epochs=1")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    difference = export(folder, "onnx", to=tmp_path / "onnx").difference
    assert difference is not None
    assert difference <= MOST
    with pytest.raises(
        UserError, match=r"^--format safetensors: expected a network of .* Type --format onnx, or torch"
    ):
        export(folder, "safetensors", to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


class Strange(torch.nn.Module):
    """No exporter follows it."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(x.flatten(1))
        return logits * float(logits.sum().item() < 1e9)


def test_a_network_that_torch_cannot_export_is_a_clear_line(tiny: Path, tmp_path: Path) -> None:
    model = (f"model._target_={__name__}.Strange", "~model.style", "~model.hidden", "~model.activation")
    words = ("trainer.max_epochs=1", *model)
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    with pytest.raises(UserError, match=r"^--format torch: expected a network that torch can export; .* Try --format"):
        export(folder, "torch", to=tmp_path / "to")
    assert not (tmp_path / "to" / "model.pt2").exists()


def test_wrong_words_are_clear_lines(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["export", str(tmp_path / "none"), "--format", "torch"], "expected the folder of a run; got none"),
        (["export", str(tmp_path), "--format", "pickle"], "--format"),
        (["export", str(tmp_path)], "--format"),
    ):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(words)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
