"""From Python one trains a run, and uses it as the commands do."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import copycat
from copycat import Run, UserError
from copycat.api.plots import plot_confusion
from copycat.records.predictions import Predictions, write_predictions
from tests.support.commands import run_copycat
from tests.support.locks import hold_lock


def overrides(tiny: Path, at: Path) -> list[str]:
    return ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={at}", "logger=none"]


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return copycat.train([*overrides(tiny, tmp_path_factory.mktemp("runs")), "trainer.max_epochs=4"], seed=3)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Write images of two sizes, neither that of the network."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{place}.png" for place in range(2)]
    for file, size in zip(files, (20, 31), strict=True):
        Image.fromarray(rng.integers(0, 255, (size, size + 4, 3), dtype=np.uint8)).save(file)
    return files


def test_a_run_is_trained_and_read_from_its_folder(run: Run) -> None:
    assert (run.status, run.error, run.classes) == ("completed", None, ("cat", "dog"))
    assert run.config["seed"] == 3
    assert run.metrics["epoch"] == [0, 1, 2, 3]
    lines = (run.folder / "metrics.csv").read_text().splitlines()
    place = lines[0].split(",").index("train/loss")
    assert run.metrics["train/loss"] == [float(line.split(",")[place]) for line in lines[1:]]
    assert run.final == json.loads((run.folder / "run.json").read_text())["results"]["final"]
    assert run.best["val/loss"] == min(loss for loss in run.metrics["val/loss"] if loss is not None)
    again = copycat.load_run(str(run.folder))
    assert again.metrics[:] == run.metrics[:] or list(again.metrics) == list(run.metrics)
    assert "final" in run._repr_html_()


def test_a_run_that_ended_by_its_time_trains_on_without_a_limit(tiny: Path, tmp_path: Path) -> None:
    short = copycat.train([*overrides(tiny, tmp_path), "trainer.max_epochs=3", "trainer.max_time=0.001"])
    assert short.manifest["results"]["ended_early"]["by"] == "trainer.max_time"
    longer = short.resume(max_time=inf)
    assert longer.metrics["epoch"] == [0, 1, 2]
    assert longer.config["trainer"]["max_time"] is None


def test_a_wrong_number_of_epochs_is_named_as_it_was_given(run: Run) -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_epochs: expected a whole number ≥ 1; got inf\.$"):
        run.resume(max_epochs=inf)  # type: ignore[arg-type]


def test_a_composed_request_trains_too(tiny: Path, tmp_path: Path) -> None:
    request = copycat.compose([*overrides(tiny, tmp_path), "trainer.max_epochs=1"])
    assert copycat.train(request).config["trainer"]["max_epochs"] == 1
    with pytest.raises(UserError, match="request alone; got seed"):
        copycat.train(request, seed=1)


def test_runs_of_several_threads_have_the_bits_of_runs_one_after_the_other(tiny: Path, tmp_path: Path) -> None:
    words = [*overrides(tiny, tmp_path), "model=cnn", "model.channels=[2]", "trainer.max_epochs=2", "callbacks=none"]

    def losses(seed: int) -> list[float]:
        return copycat.train(words, seed=seed).metrics["train/loss"]

    alone = [losses(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(losses, range(4))) == alone


def test_wrong_overrides_are_one_line() -> None:
    with pytest.raises(UserError, match=r"Type \['model=deep', 'seed=2'\]\."):
        copycat.train("model=deep seed=2")
    with pytest.raises(UserError, match=r"^overrides: expected a list of strings; got None\.$"):
        copycat.train(None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"in Python, call copycat\.sweep"):
        copycat.train(["seed=1,2"])
    with pytest.raises(UserError, match=r"hydra/launcher: expected one run, .*in Python, call copycat\.sweep"):
        copycat.train(["hydra/launcher=packed"])
    with pytest.raises(UserError, match=r"^overrides: expected a list of strings; got 'model=linear'\. Type \['mod"):
        copycat.compose("model=linear")


def test_a_plot_has_the_metrics_of_each_epoch(run: Run) -> None:
    loss, auroc = run.plot(["loss", "auroc"]).axes
    train, val, best = loss.get_lines()
    assert [train.get_label(), val.get_label()] == ["train/loss", "val/loss"]
    assert np.asarray(train.get_ydata()).tolist() == run.metrics["train/loss"]
    assert np.asarray(best.get_xdata()).tolist() == [run.manifest["results"]["best"]["epoch"]] * 2
    assert auroc.get_ylabel() == "auroc"
    with pytest.raises(UserError, match=r"expected some of accuracy, .*; got 'acuracy'\. Did you mean accuracy\?"):
        run.plot(["acuracy"])
    with pytest.raises(UserError, match=r"^metrics: expected a list of names, some of accuracy, .*; got \[\]\.$"):
        run.plot([])
    with pytest.raises(UserError, match=r"; got 'loss'\. Type \['loss'\]\.$"):
        run.plot("loss")
    with pytest.raises(UserError, match=r"^metrics: expected some of accuracy, .*; got 3\.$"):
        run.plot([3])  # type: ignore[list-item]


def test_a_confusion_matrix_counts_the_validation_images(run: Run, tmp_path: Path) -> None:
    axes, _ = run.plot_confusion().axes
    counts = np.array([int(text.get_text()) for text in axes.texts]).reshape(2, 2)
    assert counts.sum() == run.manifest["data"]["images"]["val"]
    assert counts.trace() / counts.sum() == pytest.approx(run.final["val/accuracy"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    with pytest.raises(UserError, match=r"part: expected one of val; got 'test'\."):
        run.plot_confusion("test")
    bare = shutil.copytree(run.folder, tmp_path / "bare")
    (bare / "predictions.csv").unlink()
    with pytest.raises(UserError, match="bare: expected a completed run, which has predictions; got none"):
        copycat.load_run(bare).plot_confusion()


def test_images_of_several_classes_have_no_confusion_matrix(tmp_path: Path) -> None:
    predictions = Predictions(np.ones((2, 3), dtype=np.int64), np.ones((2, 3), dtype=np.float32))
    write_predictions(tmp_path, {"val": predictions})
    expected = (
        f"^{re.escape(str(tmp_path))}: expected a run on images of one class each; these may have several\\. Type "
    )
    with pytest.raises(UserError, match=expected):
        plot_confusion(tmp_path, "val", classes=[*"abc"])


def test_without_matplotlib_one_line_says_what_to_type(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copycat.config.extras.find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"plot: expected matplotlib; .* Type pip install 'copycat-ml\[plots\]'\."):
        run.plot()


def test_the_model_is_the_network_with_its_final_weights(run: Run) -> None:
    model = run.model()
    weights = load_file(run.folder / "weights.safetensors")
    assert type(model).__module__ == "copycat.models.networks"
    assert not model.training
    assert model.state_dict().keys() == weights.keys()
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("device", ["cpuu", "cuda:99", 3.5])
def test_a_device_that_torch_lacks_is_one_line(run: Run, device: Any) -> None:
    with pytest.raises(UserError, match=rf"^device: expected one that torch has here; got '{device}': "):
        run.model(device)


@pytest.mark.parametrize("views", ["a", 1.5, 0, -3, True, 1001])
def test_a_wrong_number_of_views_is_one_line(run: Run, views: Any) -> None:
    line = rf"^views: expected a whole number from 1 to 1000; got {views!r}\.$"
    with pytest.raises(UserError, match=line):
        run.predict(np.zeros((8, 8, 3), dtype=np.uint8), views=views)
    with pytest.raises(UserError, match=line):
        run.evaluate(views=views)


def test_images_of_every_kind_have_the_probabilities_of_the_command(
    run: Run, images: list[Path], tmp_path: Path
) -> None:
    done = run_copycat("predict", run.folder, *images, "--json", at=tmp_path)
    said = [row["probability/cat"] for row in json.loads(done.stdout)["predictions"]]
    pictures = [Image.open(file) for file in images]
    arrays = [np.asarray(picture) for picture in pictures]
    tensors = [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in arrays]
    for given in (images, [str(file) for file in images], pictures, arrays, tensors):
        predictions = run.predict(given)
        assert predictions.probabilities[:, 0].tolist() == said
        assert predictions.names == [run.classes[label] for label in predictions.labels]
    assert run.predict(images[0]).probabilities[:, 0].tolist() == said[:1]


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("nowhere.png", r"nowhere\.png: expected an image; got none: No such file"),
        (np.zeros((8, 8, 3)), r"expected uint8 images, arrays \[H, W, 3\].*; got float64 \[8, 8, 3\]\."),
        (torch.zeros(3, 8, 9, dtype=torch.bfloat16), r"tensors \[3, H, W\]; got bfloat16 \[3, 8, 9\]\."),
        (np.zeros((0, 8, 3), np.uint8), "expected images with pixels; got one of 8×0"),
        (7, "expected paths, PIL images, arrays or tensors; got int"),
    ],
)
def test_what_is_no_image_is_one_line(run: Run, image: object, line: str) -> None:
    with pytest.raises(UserError, match=line):
        run.predict(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda run: run.rerun(data="nowhere"), "data: expected a folder; nowhere is not there. Type data=FOLDER, "),
        (lambda run: run.calibrate(on="out of fold"), "{run}: expected a run of a sweep of folds; got one without. "),
        (lambda run: run.calibrate(on="half"), "{run}: expected images.csv, by which the images are halved; got none."),
    ],
)
def test_a_mistake_names_the_argument(call: Callable[[Run], object], line: str, run: Run, tmp_path: Path) -> None:
    copy = copycat.load_run(shutil.copytree(run.folder, tmp_path / "copy"))
    (copy.folder / "images.csv").unlink()
    with pytest.raises(UserError, match=f"^{re.escape(line.format(run=copy.folder))}"):
        call(copy)


def test_an_evaluation_has_the_metrics_of_the_command(run: Run, tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}"]
    done = run_copycat("evaluate", run.folder, *words, "--json", at=tmp_path)
    assert list(run.evaluate(words)) == json.loads(done.stdout)["metrics"]
    assert set(run.evaluate()["part"]) == {"train", "val"}


def test_a_run_is_extended_and_rerun_to_the_same_bits(run: Run, tmp_path: Path) -> None:
    longer = copycat.load_run(shutil.copytree(run.folder, tmp_path / "longer")).resume(max_epochs=6)
    assert longer.metrics["epoch"] == [0, 1, 2, 3, 4, 5]
    found = copycat.Run(str(run.folder)).rerun()
    assert list(found.comparison.differences) == []
    assert len(repr(found)) < 2000  # a notebook shows it
    with pytest.raises(UserError, match="expected a run that stopped"):
        run.resume()


def test_a_run_shows_what_became_of_its_folder_since_it_was_loaded(run: Run, tmp_path: Path) -> None:
    loaded = copycat.load_run(shutil.copytree(run.folder, tmp_path / "run"))
    longer = loaded.resume(max_epochs=6)
    assert (loaded.final, loaded.config) == (longer.final, longer.config)
    assert not loaded.rerun().comparison.differences
    completed = (loaded.folder / "run.json").read_text()
    (loaded.folder / "run.json").write_text(completed.replace('"completed"', '"running"'))
    watched = copycat.load_run(loaded.folder)
    with hold_lock(loaded.folder):
        assert watched.status == "running"
        (loaded.folder / "run.json").write_text(completed)
    assert watched.status == "completed"
    loaded.folder.rename(tmp_path / "moved")
    assert watched.status == "completed"
    for use in (lambda: watched.metrics, watched.model):
        with pytest.raises(UserError, match="run: expected the folder of a run; got a path that does not exist"):
            use()


def test_a_run_outlives_a_change_of_the_working_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.folder.parent)
    loaded = copycat.load_run(run.folder.name)
    monkeypatch.chdir(tmp_path)
    assert loaded.metrics["epoch"] == [0, 1, 2, 3]
    assert loaded.model()


def test_a_change_of_what_a_run_returned_reaches_no_other_call(run: Run) -> None:
    loaded: Any = copycat.load_run(run.folder)
    loaded.config["seed"] = loaded.manifest["data"]["classes"] = loaded.final["val/loss"] = loaded.best["val/loss"] = 0
    for name in ("config", "manifest", "final", "best"):
        assert getattr(loaded, name) == getattr(run, name), name


def test_a_mistake_is_the_line_of_the_command() -> None:
    with pytest.raises(UserError, match=r"Did you mean optimizer=adam\?"):
        copycat.train(["optimizer=adma"])
    with pytest.raises(UserError, match=r"expected a list of strings; got 'model=deep'\."):
        copycat.train("model=deep")
    with pytest.raises(UserError, match="expected the folder of a run"):
        copycat.load_run("nowhere")
