"""Predictions are those of the run, for any file; what is no image is named, and the others go on."""

import csv
import json
import shutil
from hashlib import blake2b
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from copycat.config.errors import UserError
from copycat.deploy.arguments import open_completed
from copycat.deploy.predict import BATCH, Prediction, predict_files
from copycat.deploy.predictor import open_predictor
from copycat.records.run_loader import open_run
from copycat.training.components import build_data
from tests.support.commands import call_copycat, run_copycat
from tests.support.run_folders import forget_digest_of_weights
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ("model=logistic", "optimizer=adam", "optimizer.lr=0.01", "trainer.max_epochs=200")
    return train_tiny(*words, *QUIET, data=tiny, at=tmp_path_factory.mktemp("runs")).folder


@pytest.mark.parametrize(
    "words",
    [
        ("model=logistic",),
        ("model=shallow", "loss=cross_entropy"),
        ("model=cnn", "data.image_size=16", "trainer.precision=64-true", "loss=bce_with_logits"),
    ],
)
def test_what_is_predicted_is_what_the_run_recorded_to_the_bit(
    words: tuple[str, ...], tiny: Path, tmp_path: Path
) -> None:
    of = train_tiny("trainer.max_epochs=2", *QUIET, *words, data=tiny, at=tmp_path).folder
    opened = open_run(of)
    images = build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"].images
    assert isinstance(images, torch.Tensor)
    with open_predictor(open_completed(of)) as predictor:
        found = predictor(images)
    assert torch.allclose(found.sum(dim=1), torch.ones(8, dtype=found.dtype))
    digest = blake2b(found[:, 1].contiguous().view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest()
    assert digest == opened.manifest["results"]["predictions_digest"]


def test_folders_and_files_are_a_table_csv_or_json(
    folder: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cat, dogs = tiny / "train" / "cat" / "0.png", tiny / "train" / "dog"  # which it has learned
    call_copycat("predict", folder, cat, dogs, "--json")
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["file"] for row in found] == [str(cat), *(str(dogs / f"{n}.png") for n in range(8))]
    assert [row["class"] for row in found] == ["cat", *8 * ["dog"]]
    assert all(row["probability"] == max(row["probability/cat"], row["probability/dog"]) for row in found)
    call_copycat("predict", folder, cat, dogs, "--csv")
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert [float(row["probability/cat"]) for row in rows] == [row["probability/cat"] for row in found]
    call_copycat("predict", folder, cat, dogs)
    lines = capsys.readouterr().out.splitlines()
    assert sum(".png" in line for line in lines) == 9
    assert f"{found[0]['probability']:.4f}" in lines[3]


def test_an_image_of_any_size_and_mode_is_read_and_what_is_none_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    photo.save(tmp_path / "a.jpg")
    photo.convert("CMYK").save(tmp_path / "b.jpg")
    photo.convert("P").save(tmp_path / "c.gif")
    photo.resize((1, 1)).save(tmp_path / "d.png")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "e.jpg").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "f.jpg").write_text("<html><body>not found</body></html>")
    (tmp_path / "g.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("none of the images")
    call_copycat("predict", folder, tmp_path, "--json", status=1)
    printed = capsys.readouterr()
    assert [Path(row["file"]).name for row in json.loads(printed.out)["predictions"]] == [
        "a.jpg",
        "b.jpg",
        "c.gif",
        "d.png",
    ]
    _, *lines = printed.err.splitlines()
    assert [line.split(": ")[1] for line in lines[:3]] == [str(tmp_path / name) for name in ("e.jpg", "f.jpg", "g.png")]
    assert "a web page, not an image" in lines[1]
    assert lines[3] == "copycat: 3 of 7 files can't be read."


def test_an_image_on_standard_input_and_a_contact_sheet(folder: Path, tiny: Path, tmp_path: Path) -> None:
    image = (tiny / "val" / "cat" / "0.png").read_bytes()
    words = ["predict", folder, "-", tiny / "val" / "dog", "--json", "--sheet", "sheet.png"]
    done = run_copycat(*words, at=tmp_path, stdin=image)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["predictions"]
    assert [Path(row["file"]).name for row in rows] == ["-", "0.png", "1.png", "2.png", "3.png"]
    with open_predictor(open_completed(folder)) as predictor:
        (alone,) = predict_files(predictor, [tiny / "val" / "cat" / "0.png"])
    assert isinstance(alone, Prediction)
    assert rows[0]["probability/cat"] == pytest.approx(alone.probabilities[0], abs=1e-6)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 100  # five in a row
        assert sheet.height < 250
    assert run_copycat(*words, at=tmp_path, stdin=image).returncode == 0  # over its earlier sheet
    done = run_copycat("predict", folder, "-", "--csv", at=tmp_path, stdin=image)
    assert done.stdout.splitlines()[1].startswith("-,cat,")


def test_a_file_whose_name_starts_as_a_flag_does_is_named_by_its_path(
    folder: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(tiny / "val" / "cat" / "0.png", "-dash.png")
    call_copycat("predict", folder, "-dash.png", status=2)
    assert capsys.readouterr().err.endswith(" Type ./-dash.png for the file.\n")
    call_copycat("predict", folder, "./-dash.png")


def test_what_is_no_image_on_standard_input_is_named(folder: Path, tmp_path: Path) -> None:
    done = run_copycat("predict", folder, "-", at=tmp_path)
    assert done.returncode == 1
    assert "copycat: -: empty file\n" in done.stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool], ids=str)
def test_a_predictor_takes_bytes_alone_and_changes_no_input(dtype: torch.dtype, folder: Path) -> None:
    with open_predictor(open_completed(folder)) as predictor:
        images = torch.randint(0, 256, (2, 3, predictor.size, predictor.size), dtype=torch.uint8)
        before, expected = images.clone(), predictor(images)
        assert torch.equal(predictor(images), expected)
        assert torch.equal(images, before)
        other = images.to(dtype)
        unchanged = other.clone()
        with pytest.raises(UserError, match=rf"^images: expected uint8, from 0 to 255; got {str(dtype)[6:]}\.$"):
            predictor(other)
        assert torch.equal(other, unchanged)


def test_in_batches_each_file_gets_its_own(folder: Path, tiny: Path) -> None:
    files = [tiny / "val" / ("cat", "dog")[n % 2] / f"{n % 4}.png" for n in range(BATCH + 5)]
    with open_predictor(open_completed(folder)) as predictor:
        found = list(predict_files(predictor, files))
        alone = {file: next(predict_files(predictor, [file])) for file in set(files)}
    assert len(found) == len(files)
    for file, one in zip(files, found, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other := alone[file], Prediction)
        assert one.file == file
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_mistakes_are_one_line(folder: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    call_copycat("predict", folder, tmp_path / "none.jpg", status=2)
    call_copycat("predict", folder, tmp_path / "empty", status=2)
    call_copycat("predict", tmp_path / "empty", tiny, status=2)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": expected ")[2] for line in said] == [
        "an image, or a folder of images; got none.",
        "images; got a folder without any.",
        "the folder of a run; got a folder without run.json. See them: copycat runs.",
    ]


def test_a_run_without_final_weights_or_with_those_of_another_is_refused(tiny: Path, tmp_path: Path) -> None:
    of = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path / "a").folder
    other = train_tiny("trainer.max_epochs=1", "model=shallow", *QUIET, data=tiny, at=tmp_path / "b").folder
    (of / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(UserError, match="expected the weights that the run recorded"), open_predictor(open_run(of)):
        pass
    forget_digest_of_weights(of)
    with (
        pytest.raises(UserError, match="expected the weights of this run's network; ") as caught,
        open_predictor(open_completed(of)),
    ):
        pass
    assert "\n" not in str(caught.value)
    (of / "weights.safetensors").unlink()
    with (
        pytest.raises(UserError, match=r"weights\.safetensors: expected a file of the run; it is missing\."),
        open_predictor(open_completed(of)),
    ):
        pass


def test_a_run_of_an_earlier_version_says_no_shape(folder: Path, tiny: Path, tmp_path: Path) -> None:
    of = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    manifest = json.loads((of / "run.json").read_text())
    assert manifest["data"].pop("image_shape") == [3, 8, 8]
    (of / "run.json").write_text(json.dumps(manifest))
    with open_predictor(open_completed(of)) as predictor:
        assert predictor.size == 8


OWN_NETWORK = """
import torch

from odd.halves import SCALE


class Net(torch.nn.Linear):
    def forward(self, x):
        return SCALE * super().forward(x.flatten(1))
"""


def test_a_network_whose_code_has_changed_since_the_run_is_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "odd"
    package.mkdir()
    for name, content in {"__init__": "", "nets": OWN_NETWORK, "halves": "SCALE = 0.5", "unused": ""}.items():
        (package / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    model = ("model._target_=odd.nets.Net", "~model.style", "~model.hidden", "~model.activation")
    of = train_tiny("trainer.max_epochs=1", *model, *QUIET, data=tiny, at=tmp_path / "of").folder
    image = tiny / "train" / "cat" / "0.png"
    capsys.readouterr()
    (package / "unused.py").write_text("SCALE = 3")
    call_copycat("predict", of, image)
    assert "changed" not in capsys.readouterr().err
    (package / "halves.py").write_text("SCALE = 2")
    call_copycat("predict", of, image)
    expected = f"copycat: {of}: odd/halves.py changed since this run: its predictions may be others."
    assert f"{expected} See what differs: copycat rerun {of} --check\n" in capsys.readouterr().err
