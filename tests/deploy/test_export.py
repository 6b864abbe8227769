"""What is exported says what the run says, without Copycat."""

import json
import os
from collections.abc import Sequence
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copycat.config.errors import UserError
from copycat.data.augmentation.transforms import Unchanged
from copycat.data.decode import decode_pixels
from copycat.deploy.arguments import open_completed
from copycat.deploy.export import export
from copycat.deploy.export_check import Comparison, Script, compare_on_pixels
from copycat.deploy.export_formats import FORMATS, Format
from copycat.deploy.predict import Prediction, predict_files
from copycat.deploy.predictor import Predictor, open_predictor
from copycat.deploy.use_scripts import SCRIPTS
from copycat.models.losses import CrossEntropy
from copycat.training.signal_stack import kept_signal_stack
from tests.support.commands import call_copycat, run_copycat
from tests.support.images import write_image_folder
from tests.support.parameters import mark_slow
from tests.support.runs import QUIET, train_tiny

NETWORKS = {
    "logistic": ("model=logistic",),
    "deep": ("model=deep", "model.hidden=[6,4]", "activation=leaky_relu", "activation.negative_slope=0.2"),
    "sequential": ("model=shallow", "model.style=sequential", "loss=cross_entropy"),
    "cnn": ("model=cnn", "model.channels=[4]", "loss=bce_with_logits"),
    "linear": ("model=linear",),
    "normalized": ("model=logistic", "normalize=train"),
}


FAST = {"cnn-safetensors", "cnn-torch"}
EXPORTED = [
    pytest.param(name, form, id=f"{name}-{form}", marks=() if f"{name}-{form}" in FAST else pytest.mark.slow)
    for form, names in {
        "safetensors": [*NETWORKS],  # each is built by the script itself
        "torch": ["sequential", "cnn"],
        "onnx": ["deep", "cnn", "normalized"],
        "openvino": ["cnn"],
    }.items()
    for name in names
]
EXPORTED.append(pytest.param("logistic", "aotinductor", id="logistic-aotinductor", marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("trainer.max_epochs=3", *NETWORKS[request.param])
    return train_tiny(*words, *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


USE = """
import runpy, sys
sys.modules['copycat'] = None
sys.path[0] = FOLDER
for sys.argv[1] in IMAGES:
    runpy.run_path(FOLDER + '/use.py', run_name='__main__')
sys.exit()
"""
"""Classifies images from another folder, as `python FOLDER/use.py IMAGE` does."""


def use_export(folder: Path, images: Sequence[Path], *, at: Path) -> list[tuple[str, float]]:
    """Return the lines of an export's script: each class with its probability, image by image."""
    program = f"FOLDER, IMAGES = {str(folder)!r}, {[str(image) for image in images]!r}\nimport sys; sys.argv = ['', '']"
    used = run_copycat(at=at, program=program + USE)
    assert used.returncode == 0, used.stderr
    return [(name, float(value)) for name, _, value in (line.rpartition(" ") for line in used.stdout.splitlines())]


def save_images(folder: Path) -> list[Path]:
    """Write images that readers disagree on, each of another size than the network's."""
    folder.mkdir()
    random = np.random.default_rng(0)
    colors = Image.fromarray(random.integers(0, 256, (3, 5, 3), dtype=np.uint8)).resize((30, 20))
    transparent = colors.copy()
    transparent.putalpha(colors.convert("L"))
    deep = random.integers(0, 2**16, (20, 30), dtype=np.uint16)
    for turn in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = turn
        colors.save(folder / f"turned{turn}.png", exif=exif)
    for mode in ("1", "L", "CMYK"):
        colors.convert(mode).save(folder / f"{mode}.tif")
    transparent.save(folder / "transparent.png")
    transparent.convert("LA").save(folder / "gray-transparent.png")
    colors.quantize(8).save(folder / "palette.png", transparency=1)
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep.astype(np.int32)).save(folder / "integers.tif")
    Image.fromarray(deep.astype(np.float32) / 2**16).save(folder / "floats.tif")
    return sorted(folder.iterdir())


def assert_takes_any_number_of_images(form: Format, model: Path, predictor: Predictor) -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    expected = predictor(images)
    if form in ("torch", "aotinductor"):
        file = model / FORMATS[form].file
        program = torch.export.load(file).module() if form == "torch" else torch._inductor.aoti_load_package(str(file))
        found = [program(images[:count]) for count in (1, 5)]
    elif form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(model / FORMATS[form].file)
        found = [torch.from_numpy(session.run(None, {"image": images[:count].numpy()})[0]) for count in (1, 5)]
        assert [file.name for file in model.glob("*.onnx*")] == ["model.onnx"]  # one file holds all
    elif form == "openvino":
        import openvino

        precise = {"INFERENCE_PRECISION_HINT": "f32"}  # the default of some processors is bfloat16
        with kept_signal_stack():
            compiled = openvino.compile_model(model / FORMATS[form].file, "CPU", precise)
        found = [torch.from_numpy(compiled(images[:count].numpy())[0]) for count in (1, 5)]
    else:
        return  # its network is built by the script
    for said, count in zip(found, (1, 5), strict=True):
        assert torch.allclose(said, expected[:count], atol=FORMATS[form].tolerance)


@pytest.mark.parametrize(("folder", "form"), EXPORTED, indirect=["folder"])
def test_its_script_says_of_files_what_predict_says_where_copycat_is_not(
    form: Format, folder: Path, tmp_path: Path
) -> None:
    done = export(open_completed(folder), form, to=tmp_path / "model")
    assert done.difference is not None
    assert max(done.difference, done.difference_on_files) <= 1e-5
    images = save_images(tmp_path / "images")
    with open_predictor(open_completed(folder)) as predictor:
        found = [found for found in predict_files(predictor, images) if isinstance(found, Prediction)]
        assert_takes_any_number_of_images(form, tmp_path / "model", predictor)
    assert len(found) == len(images)
    said = use_export(tmp_path / "model", images, at=tmp_path)
    assert [name for name, _ in said] == ["cat", "dog"] * len(images)
    expected = [probability for prediction in found for probability in prediction.probabilities]
    assert [probability for _, probability in said] == pytest.approx(expected, abs=1e-4)
    assert len((tmp_path / "model" / "use.py").read_text().splitlines()) <= 65


@pytest.mark.parametrize("form", mark_slow(["safetensors", "torch", "onnx"], fast=["safetensors"]))
def test_no_text_of_a_run_becomes_code(form: Format, tmp_path: Path) -> None:
    names = ["CALL", "SAID\nimport os", '"]; print(1)  # MODULE', "[x](y)<img src=z>"]
    root = write_image_folder(
        tmp_path / "data", classes={name: 60 * place for place, name in enumerate(names)}, parts={"": 5}, levels=9
    )
    words = ("loss=cross_entropy", "trainer.max_epochs=1")
    folder = train_tiny(*words, *QUIET, data=root, at=tmp_path / "runs").folder
    export(open_completed(folder), form, to=tmp_path / "model")
    script = (tmp_path / "model" / "use.py").read_text()
    assert script == SCRIPTS[form]
    assert not any(name in script for name in ("CALL", "SAID", "MODULE"))
    decoding = json.loads((tmp_path / "model" / "model.json").read_text())["decode"]
    assert {"path", "content", *decoding} == set(
        signature(decode_pixels).parameters
    )  # all that `copycat predict` decodes by
    said = use_export(tmp_path / "model", [next(root.rglob("*.png"))], at=tmp_path)
    assert r"\[x\](y)\<img src=z\>" in (tmp_path / "model" / "README.md").read_text()
    assert [name for name, _ in said] == [name if name.isprintable() else ascii(name) for name in sorted(names)]


def test_a_script_says_of_a_damaged_image_what_is_wrong_in_a_line(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path / "runs").folder
    export(open_completed(folder), "safetensors", to=tmp_path / "to")
    (tmp_path / "no.png").write_bytes(b"")
    program = f"FOLDER, IMAGES = {str(tmp_path / 'to')!r}, ['no.png']\nimport sys; sys.argv = ['', '']"
    used = run_copycat(at=tmp_path, program=program + USE)
    told, *_ = used.stderr.partition("nanobind: leaked")  # triton of a CUDA build says so as the interpreter exits
    assert (used.returncode, told) == (1, "no.png: empty file\n")


def test_probabilities_that_are_no_numbers_on_one_side_alone_differ() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
    predictor = Predictor(
        network=network, loss=CrossEntropy(), classes=("a", "b"), size=1, fit="crop", augmentation=Unchanged()
    )
    images = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    script = Script(lambda file: images.numpy(), lambda pixels: np.full((2, 2), np.nan))
    assert compare_on_pixels(script, predictor, [images]).largest > 1
    network[1].bias.data.fill_(torch.nan)  # type: ignore[operator]
    assert compare_on_pixels(script, predictor, [images]).largest == 0


def test_accuracies_are_those_of_evaluate_where_images_have_several_classes_too() -> None:
    run, export = torch.tensor([[0.9, 0.2, 0.7], [0.4, 0.8, 0.1]]), torch.tensor([[0.9, 0.6, 0.7], [0.4, 0.8, 0.1]])
    labels = torch.tensor([[1, 0, 0], [0, 1, 0]])
    assert Comparison(run, export).accuracies(labels) == pytest.approx((5 / 6, 4 / 6))
    assert Comparison(run, run.flip(0)).accuracies(torch.tensor([0, 1])) == (1, 0)
    assert Comparison(run, run * torch.nan).accuracies(torch.tensor([0, 1])) == pytest.approx((1, 0.5))


class UserLoss(CrossEntropy):
    """Gives other probabilities."""

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return super().probability(logits / 2)


def test_a_loss_of_ones_own_is_not_exported_as_weights_alone(tiny: Path, tmp_path: Path) -> None:
    words = ("loss=cross_entropy", f"loss._target_={__name__}.UserLoss", "trainer.max_epochs=1")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path / "runs").folder
    with pytest.raises(UserError, match=r"^--format safetensors: expected a loss of copycat\.models\.losses; got "):
        export(open_completed(folder), "safetensors", to=tmp_path / "to")
    assert export(open_completed(folder), "torch", to=tmp_path / "to").difference_on_files <= 1e-5


def test_the_card_says_what_it_is_and_how_sure(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_tiny("trainer.max_epochs=3", *QUIET, data=tiny, at=tmp_path).folder
    call_copycat("export", folder, "--format", "torch")
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"copycat: loading the network of {folder}",
        "copycat: tracing the network by torch.export",
        "copycat: comparing the export with the run",
    ]
    out = printed.out.splitlines()
    assert out[0] == str(folder / "export" / "torch")
    assert out[1].startswith("largest difference in probability on the validation images: ")
    card = (folder / "export" / "torch" / "README.md").read_text()
    assert "16 train, 8 val images" in card
    assert "| accuracy |" in card
    assert "of 8×8" in card
    assert "These are your own data" in card.partition("## License")[2]
    assert "lecture" not in card
    call_copycat("rerun", folder)  # the run is as good as before


def test_where_the_images_are_gone_it_is_said_that_nothing_was_held_against_them(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "images"
    os.symlink(tiny, moved)
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=moved, at=tmp_path / "runs").folder
    moved.unlink()
    call_copycat("export", folder, "--format", "torch", "--to", tmp_path / "to")
    printed = capsys.readouterr()
    assert "not compared on the validation images" in printed.err
    assert printed.out.splitlines()[1].startswith(
        "largest difference in probability on oriented, transparent, gray, palette and deep"
    )
    assert "On oriented, transparent, gray, palette and deep images" in (tmp_path / "to" / "README.md").read_text()
