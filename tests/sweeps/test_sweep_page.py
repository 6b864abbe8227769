"""The HTML page of a sweep shows the records of its trials."""

from pathlib import Path

from copycat.sweeps.plots.files import PLOTS
from copycat.sweeps.sweep_page import make_sweep_page
from copycat.tables.statistics import format_number, wilson_interval
from tests.support.html import parse_html
from tests.support.run_folders import write_run
from tests.support.sweep_folders import make_trial, write_sweep_folder, write_trial_folder

SPACE = {"optimizer.lr": "tag(log,interval(1e-2,1e-1))", "seed": "1,2"}
TRIALS = [
    make_trial(number, {"optimizer.lr": rate, "seed": seed}, value)
    for number, (rate, seed, value) in enumerate([(0.05, 1, 0.7), (0.05, 2, 0.3), (0.02, 1, 0.4), (0.02, 2, 0.5)])
]


def test_the_page_of_a_sweep_has_ranking_plots_and_a_command_to_rerun_the_best(tmp_path: Path) -> None:
    sweep = write_sweep_folder(tmp_path / "sweep", TRIALS, space=SPACE)
    found = parse_html(make_sweep_page(sweep).html())
    assert found.loaded_urls == []
    plots = ["Parallel coordinates", "Importance", "Hyper-parameters", "History"]
    titles = ["Configurations", "Trials", *plots, "Configuration", "Reproduce the best trial"]
    assert found.headings == ["Sweep of lr and seed", *titles]
    assert "4 of 4 trials completed; best val/loss 0.3000 by trial 1." in "".join(found.texts)
    start = next(index for index, row in enumerate(found.rows) if row[0] == "trial")
    assert [row[0] for row in found.rows[start + 1 : start + 5]] == ["1", "2", "3", "0"]
    assert found.rows[1][0] == "0.02"  # the better mean, though another has the best trial
    assert format_number(0.45) in found.rows[1][2]
    assert found.rows[0][3] == "95 % of val/loss"
    assert found.rows[1][3] == "-0.1853 to 1.0853"  # of 0.4 and 0.5: t = 12.706
    assert "best val/loss 0.3000 by trial 1" in found.images[-1][1]
    assert len(found.images) == len(PLOTS) - 2  # one objective; too few trials for importances
    assert "Too few completed trials: 4; at least 10 are needed." in found.texts
    assert f"copycat rerun {sweep}/2" in found.texts
    assert "Of the configuration with the best mean over seed." in found.texts


def test_a_sweep_of_one_trial_says_that_nothing_varies(tmp_path: Path) -> None:
    sweep = write_sweep_folder(tmp_path / "sweep", [make_trial(0, {}, 0.3)], space={})
    page = make_sweep_page(sweep)
    found = parse_html(page.html())
    assert found.headings[0] == "Sweep"
    assert "1 of 1 trial completed; best val/loss 0.3000 by trial 0." in "".join(found.texts)
    (request,) = [section for section in page.sections if section.title == "Configuration"]
    assert request.table is None  # not a head without rows


def test_several_objectives_add_a_pareto_plot_and_names_are_escaped_as_html(tmp_path: Path) -> None:
    trials = [
        make_trial(n, {"model": "<script>alert(1)</script>"}, *both) for n, both in enumerate([(1, 3), (2, 1), (3, 2)])
    ]
    wanted = {"val/loss": "minimize", "parameters": "minimize"}
    sweep = write_sweep_folder(tmp_path / "sweep", trials, space={"model": "a,b"}, objectives=wanted)  # type: ignore[arg-type]
    found = parse_html(make_sweep_page(sweep).html())
    assert len(found.images) == len(PLOTS) - 1
    assert "<script>alert(1)</script>" in "".join(found.texts)


def test_a_sweep_without_a_trial_has_a_page(tmp_path: Path) -> None:
    found = parse_html(make_sweep_page(write_sweep_folder(tmp_path, [], space=SPACE)).html())
    assert "History" in found.headings
    assert "Trials" not in found.headings
    assert "0 of 0 trials completed." in "".join(found.texts)


def test_trials_are_ranked_beside_intervals_and_the_best_ten_have_curves_before_the_others(tmp_path: Path) -> None:
    sweep = write_sweep_folder(tmp_path, [], space={"optimizer.lr": "interval(0,1)"})
    for number in range(12):
        write_trial_folder(sweep, number, {"optimizer.lr": number / 10}, status="completed", val_loss=number / 10)
        accuracy = {"val/accuracy": 0.8 - number / 50}
        data = {"images": {"val": 50}, "source": "copycat.data.sources.cats.Cats"}
        write_run(sweep / str(number), final=accuracy, best=accuracy, data=data)
        (sweep / str(number) / "metrics.csv").write_text(f"epoch,val/loss\n0,1.0\n1,{number / 10}\n")
    found = parse_html(make_sweep_page(sweep).html())
    assert found.headings[0] == "Sweep of lr on Cats"
    start = found.rows.index(["trial", "status", "val/loss", "val/accuracy", "lr", "epochs", "seconds"])
    assert found.rows[start + 1][2:4] == ["0.0000", "0.8000 (0.67 to 0.89)"]
    charts = {chart["title"]: chart for data in found.data for chart in data.get("charts", [])}
    assert charts["val/accuracy of the best 12 trials, with 95 % intervals"]["series"][0]["low"][0] == 0.669629
    labels = [one["label"] for one in charts["val/loss"]["series"]]
    assert labels == ["the other 2"] * 2 + [f"trial {number}" for number in range(10)]


def test_the_interval_of_an_epoch_is_of_the_images_that_it_validated(tmp_path: Path) -> None:
    sweep = write_sweep_folder(tmp_path, [], space={"optimizer.lr": "interval(0,1)"})
    write_trial_folder(sweep, 0, {"optimizer.lr": 0.1}, status="completed", val_loss=0.1)
    accuracy = {"val/accuracy": 0.75}
    write_run(sweep / "0", final=accuracy, best=accuracy, data={"images": {"val": 50}})
    (sweep / "0" / "config.yaml").write_text("{data: {batch_size: 8}, trainer: {limit_val_batches: 1}}")
    low, high = wilson_interval(0.75, 8)
    found = parse_html(make_sweep_page(sweep).html())
    assert any(f"0.7500 ({low:.2f} to {high:.2f})" in row for row in found.rows)


def test_settings_of_a_sweeper_are_shown_as_a_user_types_them(tmp_path: Path) -> None:
    space = {**SPACE, "hydra.sweeper.sampler": "{'seed': None, 'group': True}", "model": "[1,2],shallow"}
    found = parse_html(make_sweep_page(write_sweep_folder(tmp_path, TRIALS, space=space)).html())
    assert ["hydra.sweeper.sampler", "{seed: null, group: true}"] in found.rows
    assert ["model", "[1,2],shallow"] in found.rows


def test_trials_on_images_of_several_classes_have_no_wilson_interval(tmp_path: Path) -> None:
    sweep = write_sweep_folder(tmp_path, [], space={"optimizer.lr": "interval(0,1)"})
    write_trial_folder(sweep, 0, {"optimizer.lr": 0.1}, status="completed", val_loss=0.1)
    data = {"images": {"val": 50}, "multi_label": True, "classes": ["cat", "dog"]}
    write_run(sweep / "0", final={"val/accuracy": 0.8}, best={"val/accuracy": 0.8}, data=data)
    assert "Wilson" not in make_sweep_page(sweep).html()


def test_an_accuracy_that_trials_are_ranked_by_is_that_of_the_objective(tmp_path: Path) -> None:
    sweep = write_sweep_folder(
        tmp_path, [], space={"optimizer.lr": "interval(0,1)"}, objectives={"val/accuracy": "maximize"}
    )
    write_trial_folder(sweep, 0, {"optimizer.lr": 0.1}, status="completed", val_accuracy=0.9)
    monitored = {"val/accuracy": 0.6}  # of the epoch of the least loss
    write_run(sweep / "0", final=monitored, best=monitored, data={"images": {"val": 50}})
    low, high = wilson_interval(0.9, 50)
    found = parse_html(make_sweep_page(sweep).html())
    assert ["0", "completed", f"0.9000 ({low:.2f} to {high:.2f})"] in [row[:3] for row in found.rows]
