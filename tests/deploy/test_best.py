"""A whole search on tiny images: its choice, figures, page, model and calibration."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from copycat.deploy.best_result import BestResult, clustered_interval, read_result
from copycat.deploy.best_text import configuration_yaml
from copycat.records.calibration_file import read_calibration
from copycat.records.run_folder import read_manifest
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.engine import Runner
from copycat.sweeps.job import Job
from copycat.tables.statistics import wilson_interval
from tests.support.commands import call_copycat
from tests.support.images import write_image_folder
from tests.support.portfolio import write_portfolio
from tests.support.runs import compose_quickly

FUSSY_LOSS = """from copycat.models.losses import BCE
from torch import Tensor


class Loss(BCE):
    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        if len(logits) > 20:
            raise ValueError(f"no memory for {len(logits)}")
        return super().forward(logits, label)
"""
QUICK = ("hydra/launcher=basic", "logger=none", "callbacks=none", "trainer.threads=1")


@pytest.fixture(autouse=True)
def portfolio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates of the user's own: one that learns, and one that does not."""
    write_portfolio(tmp_path, {"learns": 0.1, "blind": 1e-9})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))


def write_photos(root: Path, *, parts: dict[str, int]) -> Path:
    return write_image_folder(root, classes={"dog": 0, "cat": 60}, parts=parts, levels=40)


def find_best(data: Path, *words: str, candidates: Sequence[str] = ("learns", "blind"), status: int = 0) -> BestResult:
    folder = Path("found")
    names = f"--candidates={','.join(candidates)}"
    call_copycat("best", data, "--folder", folder, names, *QUICK, *words, status=status)
    result = read_result(folder)
    assert result is not None
    return result


def test_the_best_candidate_is_chosen_and_measured_on_images_that_did_not_choose_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = find_best(write_photos(tmp_path / "photos", parts={"": 12}))
    printed = capsys.readouterr()
    assert result.name == "learns"
    assert result.is_final
    assert result.measured is not None
    assert result.measured.folds == 5
    assert sorted(result.measured.rows) == list(range(24))
    value, low, high = result.accuracy
    assert value > 0.9
    assert f"accuracy {value:.4f}, 95 % interval {low:.4f} to {high:.4f} (nested cross-validation" in printed.out
    assert "baseline (always cat): 0.5000" in printed.out
    trained = Path("found/0/images.csv").read_text().count("\ntrain,")
    assert trained < 24  # a tenth shows how the training went
    assert printed.out.splitlines()[0] == f"best: learns, of 2 candidates, trained on {trained} images"
    assert re.search(r"of sweep\.max_time left$", printed.err, re.MULTILINE)
    assert [line.split()[:2] for line in printed.out.splitlines() if "copycat " in line] == [
        ["next:", "copycat"],
        ["copycat", "predict"],
        ["copycat", "export"],
    ]
    with Path("found/data.csv").open(newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    said = [result.classes[one] for one in result.measured.predictions.label]
    assert said == [labels[row] for row in result.measured.rows]
    assert read_calibration(Path("found/0"), classes=2) is not None
    page = Path("found/best.html").read_text()
    assert "The best model: learns" in page
    assert f"{value:.4f}" in page


@pytest.mark.parametrize(
    ("trainings", "said"),
    [
        (1, "learns so far, trained on two thirds of the images"),
        (8, "on the inner folds, of models that saw two thirds of the images"),
        (21, "nested cross-validation, 1 of 5 outer folds"),
    ],
)
def test_the_end_of_the_time_gives_the_best_so_far_and_more_time_goes_on(
    trainings: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, started, start_next = write_photos(tmp_path / "photos", parts={"": 12}), 0, Runner.next

    def start(self: Runner, **options: Any) -> Job | None:
        nonlocal started
        started += 1
        return start_next(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "next", start)
        patch.setattr(SweepBudget, "is_over", property(lambda _: started > trainings))
        find_best(photos, candidates=["learns"] if trainings == 1 else ["learns", "blind"])
    printed = capsys.readouterr().out
    assert said in printed
    assert "to resume: copycat resume found sweep.max_time=MORE (in all)" in printed
    call_copycat("resume", "found", "sweep.max_time=20m")
    assert "nested cross-validation, 5 × 3 folds" in capsys.readouterr().out


@pytest.mark.slow
def test_its_model_is_an_ordinary_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "photos", parts={"": 12})
    find_best(photos)
    call_copycat("rerun", "found/0")
    assert "bit for bit" in capsys.readouterr().out
    call_copycat("predict", "found/0", photos / "cat" / "0.png")
    call_copycat("runs", "found")
    rows = capsys.readouterr().out
    assert "learns" in rows
    assert "selection" not in rows  # the trainings of the search are its own


@pytest.mark.slow
def test_the_test_part_is_held_out_to_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "photos", parts={"train": 12, "test": 6})
    tested = [f"test/{name}/{index}.png" for name in ("cat", "dog") for index in range(6)]
    copy = photos / "train" / "cat" / "copy.png"
    copy.write_bytes((photos / tested[0]).read_bytes())
    result = find_best(photos)
    assert result.measured is not None
    assert len(result.measured.rows) == 24
    assert not [name for name in result.names if "/test/" in name or name.endswith("copy.png")]
    assert "test accuracy" in capsys.readouterr().out
    final = read_manifest(Path("found/0"))
    assert final["data"]["images"]["test"] == 12
    for folder in Path("found/search").iterdir():
        if folder.name.isdecimal():
            images = read_manifest(folder)["data"]["images"]
            assert sum(images.values()) <= 24  # neither the 12 test images nor the copy of one


@pytest.mark.slow
def test_near_duplicates_stay_in_one_fold(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", parts={"": 10})
    random = np.random.default_rng(0)
    for number in range(4):  # smooth pictures, and each a little brighter
        pixels = np.kron(random.integers(0, 100, (4, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        for brighter in (0, 5):
            Image.fromarray(pixels + np.uint8(brighter)).save(photos / "dog" / f"pair{number}{brighter}.png")
    find_best(photos, candidates=["learns"])
    with Path("found/data.csv").open(newline="") as file:
        rows = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    columns = [name for name in rows["pair00"] if name.startswith("selection") or name == "final"]
    for number in range(4):
        one, other = rows[f"pair{number}0"], rows[f"pair{number}5"]
        assert one["group"] == other["group"]
        assert [one[column] for column in columns] == [other[column] for column in columns]


@pytest.mark.slow
def test_an_unreadable_image_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "photos", parts={"": 8})
    (photos / "dog" / "torn.png").write_bytes(b"\x89PNG torn")
    result = find_best(photos, candidates=["learns"])
    told = capsys.readouterr().err
    assert "1 unreadable, left out" in told
    assert "training 1 candidate to measure the cost in " in told
    assert result.measured is not None
    assert len(result.measured.rows) == 16


@pytest.mark.slow
def test_classes_are_called_as_their_folders(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", parts={"": 8})
    (photos / "dog").rename(photos / " ${dog}")
    assert find_best(photos, candidates=["learns"]).measured is not None


@pytest.mark.slow
def test_what_was_not_tried_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_portfolio(tmp_path, {"fails": 3e38})
    find_best(write_photos(tmp_path / "photos", parts={"": 8}), candidates=["learns", "fails"])
    assert re.search(r"^not tried: fails: its training failed: \w", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.slow
def test_a_model_that_cannot_be_trained_on_all_images_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fussy.py").write_text(FUSSY_LOSS)
    write_portfolio(tmp_path, {"fussy": 0.1}, more="loss: {_target_: fussy.Loss}")
    result = find_best(write_photos(tmp_path / "photos", parts={"": 12}), candidates=["fussy"], status=1)
    printed = capsys.readouterr().out
    assert not result.is_final
    assert "its training on all images failed" in printed.splitlines()[0]
    assert "failed: a training on all images (ValueError: no memory for 22)" in printed
    assert "to try it again: copycat resume found/0\n" in printed


def test_a_search_lies_where_runs_are_to_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = list[Path]()

    def search(words: Sequence[str], folder: Path) -> int:
        folders.append(folder)
        return 0

    monkeypatch.setattr("copycat.cli.best.search", search)
    write_photos(tmp_path / "photos", parts={"": 8})
    call_copycat("best", "photos", "output_dir=elsewhere/mine")
    assert folders[0].parents[2] == Path("elsewhere/mine")
    assert (folders[0] / "data.csv").exists()
    assert not Path("outputs").exists()
    call_copycat("best", "photos", "output_dir=refused", "--minutes=0.1", status=2)
    assert not Path("refused").exists()


def test_a_moved_search_goes_on_with_the_table_in_its_folder(tmp_path: Path) -> None:
    find_best(write_photos(tmp_path / "photos", parts={"": 8}), "--minutes=1")
    moved = Path("found").rename("moved")
    call_copycat("evaluate", moved / "0")
    records = {path: path.read_bytes() for path in moved.rglob("run.json")}
    call_copycat("resume", moved, "sweep.max_time=2m")
    assert str(moved.absolute() / "data.csv") in (moved / "sweep.json").read_text()
    assert {path: path.read_bytes() for path in moved.rglob("run.json")} == records
    call_copycat("rerun", moved / "0", "--check")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "DIR: expected a folder; nowhere is not there. Type a folder with "),
        (["photos", "--minutes=0"], "--minutes: expected a number above 0; got '0'"),
        (["photos", "seed=1,2"], "hydra/sweeper=best: expected no key that varies, as its candidates do; got seed."),
        (["photos", "seedd=1"], "seedd: no such key; got 'seedd=1'. Did you mean seed=1?"),
        (
            ["photos", "model=cnn"],
            "model=cnn: expected a key that all candidates share; got model, which blind sets it",
        ),
        (["photos", "optimizer.lr=1"], "optimizer.lr=1: expected a key that all candidates share; got optimizer.lr, "),
        (["photos", "model.channels=[2]", "--candidates=cnn_wide"], "; got model.channels, which cnn_wide sets "),
        (
            ["photos", "scheduler=none", "--candidates=cnn_wide"],
            "got scheduler, which cnn_wide sets itself. Type --can",
        ),
        (["photos", "seed"], "best: expected KEY=VALUE; got 'seed'"),
        (["photos", "--candidates=lerns"], "got 'lerns'. Did you mean learns?"),
        ([], "copycat: expected DIR; got none. Type copycat best --help."),
        (["photos", "--folder=full"], "--folder: expected a new folder; got full, with files. Type the name of anoth"),
        (["photos", "--minutes=0.1"], " s; got 0.1. Type --minutes=1."),
        (["photos", "--minutes=0.1", "--folder=new"], "--minutes: expected more, as reading the data took "),
        (["few", "--folder=new"], "best: expected 4 images of each class at least that are not near-duplicates; got"),
        (["few"], "best: expected 4 images of each class at least that are not near-duplicates; got 3 of cat."),
    ],
)
def test_a_wrong_call_is_one_line(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "photos", parts={"": 8})
    write_photos(tmp_path / "few", parts={"": 3})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    call_copycat("best", *words, status=2)
    errors = capsys.readouterr().err
    assert line in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert not Path("outputs").exists()
    assert not Path("new").exists()


def test_images_of_one_group_count_as_fewer() -> None:
    right = np.array([True] * 16 + [False] * 4)
    alone = clustered_interval(right, [str(index) for index in range(20)])
    assert alone == wilson_interval(0.8, 20)
    grouped = clustered_interval(right, [str(index // 4) for index in range(20)])
    assert grouped == wilson_interval(0.8, 5)
    assert clustered_interval(np.ones(20, dtype=bool), [str(index // 4) for index in range(20)]) == wilson_interval(
        1, 5
    )


def test_the_printed_configuration_has_the_statistics_of_normalized_images() -> None:
    config = compose_quickly(["normalize={mean:[0.5],std:[0.2]}"]).config
    result = cast(BestResult, SimpleNamespace(run=SimpleNamespace(config=config)))
    assert configuration_yaml(result).startswith("normalize:\n  mean: [0.5]\n  std: [0.2]\n")
