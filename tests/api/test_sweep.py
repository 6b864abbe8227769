"""From Python one reads a sweep, its best trial, and the table of runs."""

import shutil
from pathlib import Path

import pytest

import copycat
from copycat import Sweep, UserError
from tests.support.packs import run_sweep
from tests.support.sweep_folders import make_trial, write_sweep_folder


@pytest.fixture(scope="module")
def sweep(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    words = ("optimizer.lr=1e-3,0.1", "seed=1,2", "trainer.max_epochs=3", "logger=none")
    return copycat.load_sweep(run_sweep(*words, data=tiny, at=tmp_path_factory.mktemp("sweep")))


def test_the_trials_stand_from_the_best_on(sweep: Sweep) -> None:
    assert (sweep.status, sweep.objectives) == ("completed", {"val/loss": "minimize"})
    losses = sweep.trials["val/loss"]
    assert losses == sorted(losses)
    assert sorted(sweep.trials["trial"]) == [0, 1, 2, 3]
    assert {(row["optimizer.lr"], row["seed"]) for row in sweep.trials} == {
        (lr, seed) for lr in (1e-3, 0.1) for seed in (1, 2)
    }
    assert "completed" in sweep._repr_html_()


def test_the_best_is_of_the_best_configuration(sweep: Sweep) -> None:
    means = {lr: sum(row["val/loss"] for row in sweep.trials if row["optimizer.lr"] == lr) / 2 for lr in (1e-3, 0.1)}
    best = sweep.best()
    assert best.config["optimizer"]["lr"] == min(means, key=means.__getitem__)
    assert best.best["val/loss"] == min(
        row["val/loss"] for row in sweep.trials if row["optimizer.lr"] == best.config["optimizer"]["lr"]
    )
    assert sweep[2].config["optimizer"]["lr"] == 0.1


def test_a_sweep_whose_trials_all_violate_a_constraint_has_no_best(tmp_path: Path) -> None:
    trial = make_trial(0, {"seed": 0}, 0.1, violated_constraints=["parameters<=1"])
    sweep = copycat.load_sweep(write_sweep_folder(tmp_path, [trial], space={"seed": "0"}))
    with pytest.raises(UserError, match=r"expected a completed trial that keeps to sweep\.constraints; got none"):
        sweep.best()


def test_a_sweep_that_was_loaded_as_it_ran_shows_its_end(tmp_path: Path) -> None:
    folder = write_sweep_folder(tmp_path, [make_trial(0, {"seed": 0}, 0.1)], space={"seed": "0"})
    ended = (folder / "sweep.json").read_text()
    (folder / "sweep.json").write_text(ended.replace('"completed"', '"running"'))
    sweep = copycat.load_sweep(folder)
    assert sweep.status == "running"
    (folder / "sweep.json").write_text(ended)
    assert sweep.status == "completed"


def test_a_sweep_outlives_a_change_of_the_working_directory_and_names_one_that_is_gone(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sweep.folder, tmp_path / "copied")
    monkeypatch.chdir(tmp_path)
    loaded = copycat.load_sweep("copied")
    monkeypatch.chdir(sweep.folder)
    assert len(loaded) == 4
    assert loaded.best().folder == tmp_path / "copied" / str(loaded.trials["trial"][0])
    assert {Path(folder).parent for folder in loaded.trials["folder"]} == {Path("copied")}
    shutil.rmtree(tmp_path / "copied")
    for use in (loaded.race, lambda: len(loaded), lambda: loaded.trials):
        with pytest.raises(UserError, match="copied"):
            use()


def test_a_sweep_iterates_over_the_runs_that_exist_by_number(sweep: Sweep, tmp_path: Path) -> None:
    assert [run.folder for run in sweep] == [sweep.folder / str(number) for number in range(4)]
    kept = shutil.copytree(sweep.folder, tmp_path / "kept")
    shutil.rmtree(kept / "1")
    (kept / "2").rename(kept / "10")
    some = copycat.load_sweep(kept)
    assert len(some) == 3
    assert [run.folder.name for run in some] == ["0", "3", "10"]


def test_what_is_no_sweep_is_one_line_with_something_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the folder of a sweep; it has no sweep\.json\. Make a sweep: copycat"):
        copycat.load_sweep(tmp_path / "nowhere")


def test_a_sweep_is_trained_from_python(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"sweep.folder={tmp_path}/sweep"]
    found = copycat.sweep([*words, "trainer.max_epochs=1", "logger=none"], seed="1,2")
    assert (found.folder, found.status) == (tmp_path / "sweep", "completed")
    assert sorted(found.trials["seed"]) == [1, 2]
    with pytest.raises(UserError, match=r"Did you mean optimizer=adam\?"):
        copycat.sweep(["seed=1,2", "optimizer=adma"])
    with pytest.raises(UserError, match=r"^seed: expected one value; got 'seed=1,2' and seed=7\."):
        copycat.sweep(["seed=1,2"], seed=7)


def test_a_plot_has_a_panel_for_each_key(sweep: Sweep) -> None:
    figure = sweep.plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["optimizer.lr", "seed"]
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"kind: expected one of history, .*; got 'histroy'\. Did you mean history\?"):
        sweep.plot("histroy")


def test_a_name_alone_is_no_list_of_names_nor_text_a_number_of_digits(sweep: Sweep) -> None:
    with pytest.raises(UserError, match=r"^metrics: expected a list of names; got 'val/loss'\. Type metrics="):
        sweep.trials.to_latex(metrics="val/loss")
    for digits in ("3", 3.5, True, -1):
        with pytest.raises(UserError, match=rf"^digits: expected a whole number ≥ 0; got {digits!r}\.$"):
            sweep.trials.to_markdown(digits=digits)


def test_runs_of_a_folder_are_a_table(sweep: Sweep) -> None:
    runs = copycat.read_runs(sweep.folder)
    assert len(runs) == 4
    assert runs["status"] == ["completed"] * 4
    with pytest.raises(UserError, match="expected a folder of runs"):
        copycat.read_runs(sweep.folder / "nowhere")
    with pytest.raises(UserError):
        copycat.load_sweep(sweep.folder / "0")


def test_a_later_trial_that_cannot_be_built_fails_alone(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"sweep.folder={tmp_path}/sweep", "logger=none"]
    weights = "loss.class_weights=[1,2],[1,2,3]"  # the number of classes is known from the data alone
    found = copycat.sweep([*words, "trainer.max_epochs=1", weights])
    assert (found.status, [run.status for run in found]) == ("failed", ["completed"])
    assert sorted(found.trials["status"]) == ["completed", "failed"]
