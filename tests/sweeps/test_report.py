"""The HTML page of a sweep shows the records of its trials."""

from pathlib import Path

from copycat.sweeps.plots.files import PLOTS
from copycat.sweeps.report import make_sweep_page
from copycat.tables.statistics import format_number
from tests.support.html import parse_html
from tests.support.sweep_folders import make_trial, write_sweep_folder

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
    assert "4 of 4 trials completed; best val/loss 0.3000 by trial 1." in "".join(found.texts).replace("\n", "")[:]
    start = next(index for index, row in enumerate(found.rows) if row[0] == "trial")
    assert [row[0] for row in found.rows[start + 1 : start + 5]] == ["1", "2", "3", "0"]
    assert found.rows[1][0] == "0.02"  # the better mean, though another has the best trial
    assert format_number(0.45) in found.rows[1][2]
    assert "the best val/loss is 0.3000, by trial 1" in found.images[-1][1]
    assert len(found.images) == len(PLOTS) - 1
    assert f"copycat rerun {sweep}/2" in found.texts  # of that configuration


def test_several_objectives_add_a_pareto_plot_and_names_are_escaped_as_html(tmp_path: Path) -> None:
    trials = [
        make_trial(n, {"model": "<script>alert(1)</script>"}, *both) for n, both in enumerate([(1, 3), (2, 1), (3, 2)])
    ]
    wanted = {"val/loss": "minimize", "parameters": "minimize"}
    sweep = write_sweep_folder(tmp_path / "sweep", trials, space={"model": "a,b"}, objectives=wanted)  # type: ignore[arg-type]
    found = parse_html(make_sweep_page(sweep).html())
    assert len(found.images) == len(PLOTS)
    assert "<script>alert(1)</script>" in "".join(found.texts)


def test_a_sweep_without_a_trial_has_a_page(tmp_path: Path) -> None:
    found = parse_html(make_sweep_page(write_sweep_folder(tmp_path, [], space=SPACE)).html())
    assert "History" in found.headings
    assert "Trials" not in found.headings
    assert "0 of 0 trials completed." in "".join(found.texts)
