"""Tables for papers: means, intervals, tests and digests of real runs."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copycat import read_runs
from copycat.config.errors import UserError
from copycat.records.run_folder import read_manifest
from copycat.tables.paper_table import PaperCell, PaperRequest, make_paper_table
from copycat.tables.run_table import read_run_rows
from tests.support.commands import call_copycat
from tests.support.run_folders import change_manifest, write_run
from tests.support.runs import QUIET, train_tiny


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two options by three seeds, and a fourth seed of one of them."""
    at = tmp_path_factory.mktemp("runs")
    for model, seed in [("logistic", 1), ("logistic", 2), ("logistic", 3), ("shallow", 1), ("shallow", 2)]:
        words = [f"model={model}", f"seed={seed}", "trainer.max_epochs=2", *QUIET]
        train_tiny(*words, data=tiny, at=at)
    return at


def cells_of(folder: Path, *names: str) -> dict[tuple[str, ...], list[PaperCell]]:
    table = make_paper_table(read_run_rows(folder), PaperRequest(metrics=names))
    return {tuple(labels): list(cells) for labels, cells in table.rows}


def test_each_cell_has_mean_interval_and_digests_of_its_runs(runs: Path) -> None:
    from scipy.stats import sem, t  # takes a second

    rows = cells_of(runs, "val/loss", "train/accuracy")
    assert list(rows) == [("logistic",), ("shallow",)]
    for (model,), cells in rows.items():
        manifests = [read_manifest(path.parent) for path in runs.rglob("run.json")]
        of = [m for m in manifests if f"model={model}" in m["request"]["overrides"]]
        for cell, metric in zip(cells, ["val/loss", "train/accuracy"], strict=True):
            values = [m["results"]["final"][metric] for m in of]
            half = t.ppf(0.975, len(values) - 1) * sem(values)
            count = "" if len(values) == 3 else " (n = 2)"
            assert cell.text == f"{np.mean(values):.3f} ± {half:.3f}{count}"
            assert {run.digest for run in cell.runs} == {m["results"]["weights_digest"][:12] for m in of}


def test_the_command_and_the_api_give_the_same_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("runs", runs, "--latex", "--metrics", "val/loss", "--digits", "2")
    printed = capsys.readouterr().out
    assert printed == read_runs(runs).to_latex(metrics=["val/loss"], digits=2)
    assert r"\toprule" in printed
    call_copycat("report", runs, "--markdown", "--metrics", "val/loss")
    assert (runs / "report.md").read_text() == read_runs(runs).to_markdown(metrics=["val/loss"])
    with pytest.raises(UserError, match=r"metric: expected one of .* Did you mean metrics\?"):
        read_runs(runs).to_latex(metric=["val/loss"])


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({"rows": ["lrate"]}, "rows: expected a name that some run has; got 'lrate'."),
        ({"columns": ["lrate"]}, "columns: expected a name that some run has; got 'lrate'."),
        ({"metrics": ["los"]}, "metrics: expected a name that some run has; got 'los'."),
        ({"rows": ["seed"], "columns": ["seed"]}, "columns: expected other keys than those of rows; got seed in both."),
        ({"rows": 5}, "rows: expected a list of names; got 5. Type rows=[5]."),
    ],
)
def test_a_mistake_in_python_names_the_argument(request_: dict[str, Any], line: str, runs: Path) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(line)}"):
        read_runs(runs).to_latex(**request_)


def write_configured(folder: Path, config: dict[str, object], *, loss: float, started: int = 0) -> None:
    overrides = [f"{key}={value}" for key, value in config.items()]
    write_run(
        folder,
        overrides=overrides,
        final={"val/loss": loss},
        started=f"2026-11-24T00:00:{started:02}.000+00:00",
        data={"images": {"train": 3, "val": 1}},
    )
    nested: dict[str, object] = {"seed": 0, "data": {}, "optimizer": {}}
    for key, value in config.items():
        node = nested
        *parents, name = key.split(".")
        for parent in parents:
            node = node[parent]  # type: ignore[assignment]
        node[name] = value
    (folder / "config.yaml").write_text(json.dumps(nested))


def write_grid(at: Path, losses: Mapping[float, Sequence[float]], repeat: str = "seed") -> None:
    for lr, values in losses.items():
        for place, loss in enumerate(values):
            write_configured(at / f"{lr}-{place}", {"optimizer.lr": lr, repeat: place}, loss=loss)


def test_what_paired_runs_tell_apart_is_not_marked_though_intervals_overlap(tmp_path: Path) -> None:
    write_grid(tmp_path, {0.1: [0.1, 0.5, 0.9], 0.2: [0.11, 0.51, 0.911], 0.3: [0.5, 0.2, 0.9]})
    marks = {labels: (cells[0].is_best, cells[0].is_close) for labels, cells in cells_of(tmp_path).items()}
    assert marks == {("0.1",): (True, False), ("0.2",): (False, False), ("0.3",): (False, True)}


def test_folds_and_hold_outs_that_overlap_tell_less_apart_than_seeds(tmp_path: Path) -> None:
    losses = {0.1: [0.10, 0.2, 0.30, 0.4], 0.2: [0.11, 0.22, 0.33, 0.41]}
    repeats = ("seed", "data.fold", "data.split_seed")
    for repeat in repeats:
        write_grid(tmp_path / repeat, losses, repeat)
    close = [cells_of(tmp_path / repeat)[("0.2",)][0].is_close for repeat in repeats]
    assert close == [False, True, True]
    notes = make_paper_table(read_run_rows(tmp_path / "data.fold"), PaperRequest()).notes
    assert any("Nadeau and Bengio" in note for note in notes)


def test_keys_make_columns(tmp_path: Path) -> None:
    for place, (lr, momentum) in enumerate([(0.1, 0.0), (0.1, 0.9), (0.2, 0.0)]):
        config: dict[str, object] = {"optimizer.lr": lr, "optimizer.momentum": momentum}
        write_configured(tmp_path / str(place), config, loss=place / 4)
    table = make_paper_table(read_run_rows(tmp_path), PaperRequest(columns=["momentum"]))
    assert [title for title, _ in table.column_titles] == ["momentum=0.0", "momentum=0.9"]
    assert [(list(labels), [cell.text for cell in cells]) for labels, cells in table.rows] == [
        (["0.1"], ["0.000", "0.250"]),
        (["0.2"], ["0.500", ""]),
    ]
    assert "Single runs were not tested for differences." in table.notes


def test_configurations_that_share_the_best_mean_are_all_marked(tmp_path: Path) -> None:
    for place, loss in enumerate([0.5, 0.25, 0.25]):
        write_configured(tmp_path / str(place), {"optimizer.lr": place + 1}, loss=loss, started=place)
    assert [cell.is_best for (cell, *_) in cells_of(tmp_path).values()] == [False, True, True]


def test_a_number_of_epochs_is_neither_better_nor_worse(tmp_path: Path) -> None:
    for place in range(2):
        folder = tmp_path / str(place)
        write_configured(folder, {"optimizer.lr": place + 1}, loss=0.5)
        manifest = json.loads((folder / "run.json").read_text())
        manifest["results"]["epochs"] = 5 + place
        (folder / "run.json").write_text(json.dumps(manifest))
    table = make_paper_table(read_run_rows(tmp_path), PaperRequest(metrics=["epochs"]))
    assert table.column_titles == [("epochs", None)]
    assert [[(cell.text, cell.is_best) for cell in cells] for _, cells in table.rows] == [
        [("5", False)],
        [("6", False)],
    ]
    assert not any("Bold" in note or "tests" in note for note in table.notes)


def test_runs_that_differ_in_another_key_are_not_averaged(tmp_path: Path) -> None:
    for place, lr in enumerate([0.1, 0.2]):
        config: dict[str, object] = {"optimizer.lr": lr, "optimizer.momentum": 0.9}
        write_configured(tmp_path / str(place), config, loss=0.5)
    with pytest.raises(UserError, match=r"--rows: .* differ in optimizer.lr too. Type --rows optimizer.momentum,opt"):
        make_paper_table(read_run_rows(tmp_path), PaperRequest(rows=["momentum"]))
    with pytest.raises(UserError, match=r"^rows: .* Type rows=\['optimizer.momentum', 'optimizer.lr'\]\.$"):
        read_runs(tmp_path).to_latex(rows=["momentum"])
    with pytest.raises(
        UserError, match=r"--columns: expected other keys than those of --rows; got optimizer.lr in both"
    ):
        make_paper_table(read_run_rows(tmp_path), PaperRequest(rows=["momentum", "lr"], columns=["optimizer.lr"]))


def test_the_advised_keys_are_all_that_is_missing(tmp_path: Path) -> None:
    for place, (lr, momentum, width) in enumerate(itertools.product([0.1, 0.2], [0.0, 0.9], [3, 4])):
        config: dict[str, object] = {"optimizer.lr": lr, "optimizer.momentum": momentum, "optimizer.eps": width}
        write_configured(
            tmp_path / str(place), {**config, "optimizer.beta": 2 * width, "optimizer.foreach": 1}, loss=0.5
        )
    rows, columns = read_run_rows(tmp_path), ["lr"]
    with pytest.raises(UserError, match=r"Type --rows optimizer.foreach,\S+, or choose") as refused:
        make_paper_table(rows, PaperRequest(rows=["foreach"], columns=columns))
    advised = str(refused.value).partition("Type --rows ")[2].partition(", or")[0].split(",")
    assert set(advised) == {
        "optimizer.foreach",
        "optimizer.momentum",
        "optimizer.eps",
    }  # not beta, which eps determines
    make_paper_table(rows, PaperRequest(rows=advised, columns=columns))


def write_options(at: Path, *, typed: bool) -> None:
    """Write runs of two optimizers, each with two learning rates; the rates are typed or come from elsewhere."""
    options = {
        "sgd": {"_target_": "torch.optim.SGD", "momentum": 0},
        "adam": {"_target_": "torch.optim.Adam", "eps": 1},
    }
    for place, (option, lr) in enumerate(itertools.product(options, [0.1, 0.2])):
        folder = at / str(place)
        write_configured(folder, {"optimizer.lr": lr}, loss=place / 4)
        config = json.loads((folder / "config.yaml").read_text())
        config["optimizer"] |= options[option]
        words = [f"optimizer={option}", *([f"optimizer.lr={lr}"] if typed else [])]
        write_run(folder, overrides=words, final={"val/loss": place / 4})
        (folder / "config.yaml").write_text(json.dumps(config))


def test_an_option_and_a_key_below_it_are_a_row_and_a_column(tmp_path: Path) -> None:
    for typed in (True, False):
        write_options(tmp_path / str(typed), typed=typed)
        rows = read_run_rows(tmp_path / str(typed))
        table = make_paper_table(rows, PaperRequest(rows=["optimizer"], columns=["lr"]))
        assert [title for title, _ in table.column_titles] == ["lr=0.1", "lr=0.2"]
        assert [(list(labels), [cell.text for cell in cells]) for labels, cells in table.rows] == [
            (["sgd"], ["0.000", "0.250"]),
            (["adam"], ["0.500", "0.750"]),
        ]


def test_an_option_and_a_key_below_it_that_were_typed_label_the_rows(tmp_path: Path) -> None:
    write_options(tmp_path, typed=True)
    table = make_paper_table(read_run_rows(tmp_path), PaperRequest())
    assert list(table.row_titles) == ["optimizer", "lr"]
    assert [list(labels) for labels, _ in table.rows] == [
        ["sgd", "0.1"],
        ["sgd", "0.2"],
        ["adam", "0.1"],
        ["adam", "0.2"],
    ]
    with pytest.raises(UserError, match=r"differ in optimizer\.lr too"):
        make_paper_table(read_run_rows(tmp_path), PaperRequest(rows=["optimizer"]))


def test_an_option_that_refers_to_another_labels_the_rows_beside_it(tmp_path: Path) -> None:
    for number, (model, activation) in enumerate(itertools.product(("shallow", "deep"), ("relu", "tanh"))):
        folder, node = tmp_path / str(number), {"_target_": f"x.{activation}"}
        config = {"activation": node, "model": {"hidden": [len(model)], "activation": node}}
        write_configured(folder, config, loss=number)
        manifest = json.loads((folder / "run.json").read_text())
        manifest["request"]["overrides"] = [f"model={model}", f"activation={activation}"]
        (folder / "run.json").write_text(json.dumps(manifest))
    table = make_paper_table(read_run_rows(tmp_path), PaperRequest(metrics=["val/loss"]))
    assert table.row_titles == ["model", "activation"]
    assert {tuple(labels) for labels, _ in table.rows} == {
        (model, activation) for model in ("shallow", "deep") for activation in ("relu", "tanh")
    }


def test_an_option_without_keys_is_shown_as_typed(tmp_path: Path) -> None:
    write_configured(tmp_path / "a", {"callbacks": {}}, loss=0.5)
    write_configured(tmp_path / "b", {"callbacks": {"last": {"filename": "x"}}}, loss=0.25)
    for name, option in (("a", "none"), ("b", "default")):
        manifest = json.loads((tmp_path / name / "run.json").read_text())
        manifest["request"]["overrides"] = [f"callbacks={option}"]
        (tmp_path / name / "run.json").write_text(json.dumps(manifest))
    assert set(cells_of(tmp_path, "val/loss")) == {("none",), ("default",)}


def test_statistics_of_an_experiment_are_not_taken_for_the_default(tmp_path: Path) -> None:
    write_configured(tmp_path / "a", {"normalize": {"mean": [0.5], "std": [0.2]}}, loss=0.5)
    write_configured(tmp_path / "b", {"normalize": None}, loss=0.25)
    words = ["experiment=mine"]
    change_manifest(tmp_path / "a", lambda manifest: manifest["request"].update(overrides=words))
    assert set(cells_of(tmp_path, "val/loss")) == {("experiment=mine",), ("null",)}


def test_copies_and_runs_that_did_not_complete_are_left_out(tmp_path: Path) -> None:
    write_configured(tmp_path / "one", {"optimizer.lr": 0.1}, loss=0.5)
    write_run(tmp_path / "failed", status="failed", overrides=["optimizer.lr=0.2"])
    table = make_paper_table(read_run_rows(tmp_path), PaperRequest())
    assert [cell.text for _, cells in table.rows for cell in cells] == ["0.500"]
    assert "1 run that did not complete left out." in table.notes


def test_flags_of_such_a_table_need_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("runs", tmp_path, "--rows", "model", status=2)
    assert re.search(r"--rows: expected --latex or --markdown beside it; got neither", capsys.readouterr().err)
    call_copycat("runs", tmp_path, "--latex", status=2)
    assert "expected completed runs; got none" in capsys.readouterr().err


def test_runs_on_other_images_are_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(
            tmp_path / str(seed), overrides=[f"seed={seed}"], final={"val/loss": 0.5}, data={"images": {"val": seed}}
        )
        (tmp_path / str(seed) / "config.yaml").write_text(f"seed: {seed}\n")
        (tmp_path / str(seed) / "images.csv").write_text(f"part,label,digest,name\nval,0,{seed},a.png\nval,1,3,b.png\n")
    notes = make_paper_table(read_run_rows(tmp_path), PaperRequest()).notes
    assert (
        "The data changed: run 2 has other images than run 1; means and ranks mix results on different data." in notes
    )
