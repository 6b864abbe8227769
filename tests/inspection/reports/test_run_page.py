"""A run's page says what its folder says."""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from copycat import Run
from copycat.config.errors import UserError
from copycat.inspection.reports.run_page import make_run_page
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.tables.statistics import format_number, wilson_interval
from copycat.training.summary import show
from tests.support.commands import call_copycat
from tests.support.html import parse_html
from tests.support.run_folders import write_run
from tests.support.runs import QUIET, train_tiny


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return train_tiny("trainer.max_epochs=3", *QUIET, data=tiny, at=tmp_path / "runs").folder


def test_the_page_of_a_run_has_its_metrics_curves_and_the_way_to_copy_it(folder: Path) -> None:
    found = parse_html(make_run_page(folder).html())
    titles = [
        *("Metrics", "Curves", "Confusion matrix (validation)", "Curves of predictions (validation)", "Weights"),
        *("Configuration", "Time", "Environment", "Data", "Reproduce"),
    ]
    assert found.headings == ["mlp on Folder", *titles]
    assert found.loaded_urls == []
    manifest, rows = json.loads((folder / "run.json").read_text()), read_history(folder)
    final = manifest["results"]["final"]
    row = next(row for row in found.rows if row[0] == "loss")
    assert f"{final['train/loss']:.4f}" in row
    assert f"{final['val/loss']:.4f}" in row
    verdict = f"Validation accuracy {final['val/accuracy']:.4f} (95 % interval "
    assert verdict in "".join(found.texts)
    assert re.search(
        r"8 images\); (above|below|not shown to exceed) the majority baseline, 0.5000; ", "".join(found.texts)
    )
    assert "; no warning of the data check." in "".join(found.texts)
    assert len(found.images) == 4
    source, says = found.images[0]
    assert f"train/loss from {rows[0]['train/loss']:.4f} to {rows[-1]['train/loss']:.4f}" in says
    with Image.open(BytesIO(b64decode(source.partition(",")[2]))) as image:
        assert image.format == "PNG"
        assert image.width > 600
    assert f"copycat rerun {folder}" in found.texts
    assert (folder / "config.yaml").read_text().strip() in "".join(found.texts)


def test_the_caption_of_a_single_epoch_spans_none(tiny: Path, tmp_path: Path) -> None:
    run = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    loss = read_history(run)[0]["val/loss"]
    _, caption = parse_html(make_run_page(run).html()).images[0]
    assert caption.startswith("loss and accuracy of epoch 0: train/loss ")
    assert f"; val/loss {loss:.4f}; " in caption


def test_units_and_classes_without_room_are_said_to_be_left_out(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_tiny(
        "model=shallow", "model.hidden=[70]", "trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path
    ).folder
    manifest = json.loads((run / "run.json").read_text())
    manifest["results"]["final"] |= {f"val/recall/c{number}": 0.5 for number in range(21)}
    (run / "run.json").write_text(json.dumps(manifest))
    found = parse_html(make_run_page(run).html())
    assert any("an image for each of the first 64 units: " in caption for _, caption in found.images)
    assert any("Values of 21 classes are left out; run.json has them." in text for text in found.texts)
    show(run, manifest)
    assert "values of 21 classes are left out; run.json has them\n" in capsys.readouterr().out


def test_an_accuracy_comes_with_its_interval(folder: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    images, share = manifest["data"]["images"]["val"], manifest["results"]["final"]["val/accuracy"]
    low, high = wilson_interval(share, images)
    row = next(row for row in parse_html(make_run_page(folder).html()).rows if row[0] == "accuracy")
    assert f"{share:.4f} ({low:.2f} to {high:.2f} of {images})" in row


def test_the_loss_of_an_epoch_is_that_of_all_its_batches(tiny: Path, tmp_path: Path) -> None:
    run = train_tiny("data.batch_size=4", "trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path).folder
    best = read_manifest(run)["results"]["best"]["metrics"]
    assert best["train/loss"] != best["train/loss_mean"]
    found = parse_html(make_run_page(run).html())
    row = dict(zip(found.rows[0], next(row for row in found.rows if row[0] == "loss"), strict=True))
    (during,) = [cell for title, cell in row.items() if title.startswith("train, epoch ")]
    assert during == format_number(best["train/loss_mean"])
    assert f"<td>{during}</td>" in Run(run)._repr_html_()


def test_an_epoch_of_few_batches_counts_their_images(tiny: Path, tmp_path: Path) -> None:
    words = ("data.batch_size=5", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1")
    folder = train_tiny("trainer.max_epochs=2", *words, *QUIET, data=tiny, at=tmp_path).folder
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(manifest | {"seconds": 8.0}))
    rows = parse_html(make_run_page(folder).html()).rows
    _, *cells = next(row for row in rows if row[0] == "accuracy")
    assert [cell.partition(" of ")[2] for cell in cells] == ["16)", "8)", "5)", "5)"]
    assert ["optimizer steps", "2, 0.25 per second"] in rows
    assert ["training images", "1.25 per second"] in rows


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_a_run_that_is_not_done_has_a_page_too(status: str, folder: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest |= {"status": status, "error": "<b>why</b>", "results": {}}
    (folder / "run.json").write_text(json.dumps(manifest))
    for name in ("metrics.csv", "predictions.csv", "weights.safetensors"):
        (folder / name).unlink()
    found = parse_html(make_run_page(folder).html())
    assert [title for title in found.headings[1:] if title != "Time"] == [
        "Configuration",
        "Environment",
        "Data",
        "Resume",
    ]
    assert "<b>why</b>" in "".join(found.texts)
    assert "b" not in found.tags
    assert f"copycat resume {folder}" in found.texts


def test_the_command_writes_it_beside_the_run_and_names_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("report", folder)
    assert capsys.readouterr().out == f"{folder}/report.html\n"
    assert parse_html((folder / "report.html").read_text()).headings[0] == "mlp on Folder"


def test_the_matrix_counts_each_validation_image_once(folder: Path) -> None:
    found = parse_html(make_run_page(folder).html())
    start = next(place for place, row in enumerate(found.rows) if row[0] == "true class")
    assert found.rows[start] == ["true class", "predicted cat", "predicted dog", "images"]
    matrix = [[int(cell) for cell in row[1:3]] for row in found.rows[start + 1 : start + 3]]
    shares = [f"{count / 4:.0%}" for row in matrix for count in row]  # four of each class
    assert [text for text in found.texts if re.fullmatch(r"\d+%", text)] == shares
    final = json.loads((folder / "run.json").read_text())["results"]["final"]
    assert [sum(row) for row in matrix] == [4, 4]
    assert matrix[0][0] + matrix[1][1] == round(8 * final["val/accuracy"])
    assert matrix[1][1] == round(4 * final["val/recall"])  # class 1 is below class 0
    said = "".join(found.texts)
    assert f"Balanced accuracy, the mean over classes, is {final['val/accuracy']:.4f}" in said  # as many of each
    assert "baseline (always cat): 0.5000" in said


def test_errors_and_unsure_predictions_are_shown_once_each(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path).folder
    found = parse_html(make_run_page(folder).html())
    assert "Validation images" in found.headings
    gallery = [(source, says) for source, says in found.images if re.search(r"predicted (cat|dog) \(", says)]
    names = [says.partition(":")[0] for _, says in gallery]
    assert len(set(names)) == len(names) == 8  # all eight are among the least confident
    assert all(name.endswith(".png") for name in names)
    wrong = [says for _, says in gallery if re.search("predicted cat .*, true dog|predicted dog .*, true cat", says)]
    final = json.loads((folder / "run.json").read_text())["results"]["final"]
    assert len(wrong) == round(8 * (1 - final["val/accuracy"]))
    with Image.open(BytesIO(b64decode(gallery[0][0].partition(",")[2]))) as image:
        assert image.size == (8, 8)


def test_the_configuration_is_what_differs_from_the_defaults_before_the_whole(folder: Path) -> None:
    found = parse_html(make_run_page(folder).html())
    start = found.rows.index(["", "this run", "default"])
    rows = {row[0]: row[1:] for row in found.rows[start + 1 :] if len(row) == 3}
    assert rows["trainer.max_epochs"] == ["3", "500"]
    assert rows["data._target_"][0] == "copycat.data.sources.folder.Folder"
    assert rows["data.root"][1] == "–"
    assert "optimizer.lr" not in rows
    assert "{'" not in "".join(found.texts)  # no Python dict


def test_charts_have_the_numbers_of_metrics_csv(folder: Path) -> None:
    rows, found = read_history(folder), parse_html(make_run_page(folder).html())
    loss, _ = found.data[0]["charts"]
    assert loss["x"] == [0, 1, 2]
    for series in loss["series"]:
        assert series["y"] == pytest.approx([row[series["label"]] for row in rows], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("predictions.csv", "part,index,label\nval,0,1\n"),
        ("predictions.csv", "part,index,label,probability_0,probability_1\nval,0,7,0.5,0.5\n"),
        ("predictions.csv", "part,index,label,probability_0,probability_1\nval,0,1,nan,0.5\n"),
        ("predictions.csv", 'part,"index'),
        ("predictions.csv", "part,index,label,probability_0,probability_1\n../../x,0,1,0.5,0.5\n"),
        ("gallery.json", "[]"),
        ("gallery.json", '{"shown": [], "sizes": [], "strip": "iVBORw0KGgo="}'),
        ("gallery.json", '{"shown": [], "sizes": [], "strip": "?"}'),
        ("quality.json", '{"title": 1}'),
        ("quality.json", '[{"title": "a", "note": "b", "count": "c", "images": []}]'),
    ],
)
def test_a_damaged_record_is_named(name: str, content: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=name.partition(".")[0]):
        make_run_page(folder)


def test_plots_alone_are_png_files(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("report", folder, "--png", tmp_path / "plots")
    names = ("curves", "roc-val", "reliability-val", "weights")
    assert capsys.readouterr().out.split() == [str(tmp_path / "plots" / f"{name}.png") for name in names]
    assert not (folder / "report.html").exists()
    for name in names:
        with Image.open(tmp_path / "plots" / f"{name}.png") as image:
            assert image.format == "PNG"


def test_several_runs_stand_side_by_side(folder: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = train_tiny("trainer.max_epochs=2", "optimizer.lr=0.5", *QUIET, data=tiny, at=folder.parents[2]).folder
    outputs = folder.parents[2]
    call_copycat("report", outputs)
    assert capsys.readouterr().out == f"{outputs}/report.html\n"
    found = parse_html((outputs / "report.html").read_text())
    titles = ["Results", "Curves", "Configuration", "Metrics", "Reports"]
    assert found.headings == ["2 runs compared: mlp on Folder", *titles]
    losses = [chart for chart in found.data[0]["charts"] if chart["title"] == "val/loss"]
    assert [len(series["x"]) for series in losses[0]["series"]] in (
        [3, 2],
        [2, 3],
    )  # a line for each, of its own length
    row = next(row for row in found.rows if row[0] == "optimizer.lr")
    assert set(row[1:]) == {"0.001", "0.5"}
    assert f"copycat report {other}" in "".join(found.texts)
    finals = [json.loads((at / "run.json").read_text())["results"]["final"]["val/loss"] for at in (folder, other)]
    row = next(row for row in found.rows if row[0] == "final/val/loss")
    assert [cell.endswith("*") for cell in row[1:]].count(True) == 1
    assert any(f"{min(finals):.4f} *" == cell for cell in row)


def test_what_is_no_run_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"expected the folder of a run; got a path that does not exist\. See them"):
        make_run_page(tmp_path / "nothing")
    (folder / "run.json").write_text('{"schema": 2, "status": 3}')
    with pytest.raises(UserError, match=r"run\.json: expected a run's manifest; .*: expected "):
        make_run_page(folder)


def test_a_run_without_an_epoch_says_that_it_has_no_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", status="failed")
    (tmp_path / "run" / "config.yaml").write_text("seed: 1\n")
    call_copycat("report", tmp_path / "run", "--png", tmp_path / "plots")
    assert capsys.readouterr() == ("", "copycat: no plots: no epoch was recorded\n")


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "predictions.csv", "gallery.json"])
def test_a_damaged_file_is_named_with_what_is_wrong_and_what_to_do(name: str, tiny: Path, tmp_path: Path) -> None:
    path = train_tiny("trainer.max_epochs=1", "data.batch_size=4", data=tiny, at=tmp_path).folder / name
    path.write_bytes(b"\xff" * 9 + b"\n")
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: expected .*; it is no (UTF-8 )?text\. Restore it"):
        make_run_page(path.parent)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: expected .*; is a directory\. Restore it"):
        make_run_page(path.parent)


@pytest.mark.slow
def test_images_that_were_trained_on_too_are_left_out_of_a_second_figure(tiny: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tiny, tmp_path / "data")
    said = "".join(
        parse_html(make_run_page(train_tiny("trainer.max_epochs=1", data=data, at=tmp_path).folder).html()).texts
    )
    assert "that train has too" not in said
    shutil.copy(data / "train" / "cat" / "0.png", data / "val" / "cat" / "again.png")
    said = "".join(
        parse_html(make_run_page(train_tiny("trainer.max_epochs=1", data=data, at=tmp_path).folder).html()).texts
    )
    assert re.search(r"Without 1 image also in train, \d of 8 are correct: [\d.]+\. Balanced accuracy:", said)


def test_the_command_imports_only_what_the_page_of_a_run_shows(folder: Path) -> None:
    others = {"pytorch_lightning", "tensorboard", "optuna", "sklearn", "scipy", "pandas"}
    script = (
        f"import sys; from copycat.cli.dispatch import run_command; run_command(['report', {str(folder)!r}]);"
        f" sys.exit(', '.join({others} & set(sys.modules)) or ('torch' not in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
