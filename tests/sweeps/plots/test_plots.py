"""Plots of a sweep show the records of its trials."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from copycat.config.errors import UserError
from copycat.sweeps.plots.files import PLOTS, write_plots
from copycat.sweeps.plots.importance import plot_importance
from copycat.sweeps.plots.parallel import plot_parallel
from copycat.sweeps.plots.results import Results, read_results
from copycat.sweeps.plots.scatter import plot_history, plot_pareto, plot_slices
from copycat.sweeps.plots.style import STYLE, choose_log_ticks
from copycat.tables.statistics import Direction
from tests.support.commands import call_copycat
from tests.support.sweep_folders import make_trial, write_sweep_folder

SPACE = {"optimizer.lr": "tag(log,interval(1e-2,1e-1))", "model": "shallow,logistic", "activation": "relu,elu"}
TRIALS = [
    make_trial(0, {"optimizer.lr": 0.05, "model": "logistic"}, 0.7),
    make_trial(1, {"optimizer.lr": 0.02, "model": "shallow", "activation": "relu"}, 0.5),
    make_trial(2, {"optimizer.lr": 0.09, "model": "shallow", "activation": "elu"}, status="failed", error="diverged"),
    make_trial(3, {"optimizer.lr": 0.03, "model": "shallow", "activation": "elu"}, 0.9, status="pruned"),
    make_trial(4, {"optimizer.lr": 0.01, "model": "logistic"}, 0.6),
]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep_folder(tmp_path / "sweep", TRIALS, space=SPACE)


@pytest.fixture
def results(sweep: Path) -> Results:
    return read_results(sweep)


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with matplotlib.style.context(["default", STYLE]):
        yield


def find_markers(axes: Axes, label: str) -> list[tuple[float, float]]:
    """Return the positions of the markers with a label."""
    (found,) = (marks for marks in axes.collections if marks.get_label() == label)
    return [(float(x), float(y)) for x, y in np.asarray(found.get_offsets())]


def find_axes(figure: Figure, key: str) -> Axes:
    (found,) = (axes for axes in figure.axes if axes.get_xlabel().startswith(key))
    return found


def join_texts(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_the_command_writes_pngs_and_prints_where(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_copycat("plots", sweep)
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == [sweep / "plots" / f"{kind}.png" for kind in ("history", "parallel", "importance", "slice")]
    for path in printed:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 600 <= image.width <= 2500
            assert 250 <= image.height <= 2500
    before = [path.read_bytes() for path in printed]
    assert [path.read_bytes() for path in write_plots(sweep, sweep / "again")] == before


def test_plots_start_without_torch() -> None:
    script = (
        "import sys, copycat.sweeps.plots.files; sys.exit(bool({'torch', 'pytorch_lightning'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_history_has_each_trial_and_the_best_so_far(results: Results) -> None:
    (axes,) = plot_history(results).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trial", "val/loss (lower is better)")
    assert find_markers(axes, "completed") == [(0, 0.7), (1, 0.5), (4, 0.6)]
    assert find_markers(axes, "pruned") == [(3, 0.9)]
    assert [x for x, _ in find_markers(axes, "failed (no value)")] == [2]
    assert find_markers(axes, "best") == [(1, 0.5)]
    (so_far,) = axes.lines
    assert list(map(tuple, np.asarray(so_far.get_xydata()))) == [(0, 0.7), (1, 0.5), (4, 0.5), (4, 0.5)]


def test_the_best_of_a_maximized_objective_is_its_largest_value(tmp_path: Path) -> None:
    write_sweep_folder(tmp_path, TRIALS, space=SPACE, objectives={"val/loss": "maximize"})
    (axes,) = plot_history(read_results(tmp_path)).axes
    assert axes.get_ylabel() == "val/loss (higher is better)"
    assert find_markers(axes, "best") == [(0, 0.7)]


def test_outliers_do_not_flatten_the_other_trials(tmp_path: Path) -> None:
    trials = [make_trial(n, {"seed": n}, 0.5 + n / 100) for n in range(20)] + [make_trial(20, {"seed": 20}, 1e6)]
    (axes,) = plot_history(read_results(write_sweep_folder(tmp_path, trials, space={"seed": "range(21)"}))).axes
    assert axes.get_ylim()[1] < 1
    assert [x for x, _ in find_markers(axes, "far worse, off the axis")] == [20]


def test_losses_that_spread_over_decades_have_a_logarithmic_axis(tmp_path: Path) -> None:
    trials = [make_trial(n, {"seed": n}, 10.0 ** (n % 5)) for n in range(20)]
    (axes,) = plot_history(read_results(write_sweep_folder(tmp_path, trials, space={"seed": "range(20)"}))).axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] > 1e4


def test_plots_of_one_trial_say_that_nothing_varies(tmp_path: Path) -> None:
    found = read_results(write_sweep_folder(tmp_path / "sweep", [make_trial(0, {}, 0.3)], space={}))
    for plot in (plot_slices, plot_parallel):
        assert join_texts(plot(found)) == "No hyper-parameter varies."


def test_slice_has_a_panel_per_key(results: Results) -> None:
    figure = plot_slices(results)
    lr, model, activation = (find_axes(figure, key) for key in SPACE)
    assert lr.get_xscale() == "log"  # it is tagged so
    assert find_markers(lr, "completed") == [(0.05, 0.7), (0.02, 0.5), (0.01, 0.6)]
    assert [x for x, _ in find_markers(lr, "failed (no value)")] == [0.09]
    assert find_markers(lr, "best") == [(0.02, 0.5)]
    assert [label.get_text() for label in model.get_xticklabels()] == ["shallow", "logistic"]  # as typed
    assert [(round(x), y) for x, y in find_markers(model, "completed")] == [(1, 0.7), (0, 0.5), (1, 0.6)]
    assert [(round(x), y) for x, y in find_markers(activation, "completed")] == [(0, 0.5)]
    assert "not set in 2 of 5 trials" in activation.get_xlabel()


def test_axes_over_decades_are_logarithmic_or_categorical_if_they_contain_0(tmp_path: Path) -> None:
    rows = [(1e-5, 0, 7, 0), (1e-3, 1e-5, 7000, 10), (1e-1, 1e-1, 70, 20), (1e-2, 1e-5, 7, 30)]
    keys = ("optimizer.lr", "optimizer.weight_decay", "seed", "data.train")
    trials = [make_trial(n, dict(zip(keys, row, strict=True)), 0.5) for n, row in enumerate(rows)]
    figure = plot_slices(read_results(write_sweep_folder(tmp_path, trials, space=dict.fromkeys(keys, ""))))
    assert find_axes(figure, "optimizer.lr").get_xscale() == "log"
    decay = find_axes(figure, "optimizer.weight_decay")
    assert [label.get_text() for label in decay.get_xticklabels()] == ["0", "1e-05", "0.1"]
    assert find_axes(figure, "seed").get_xscale() == "linear"  # a seed is a number by name alone
    assert find_axes(figure, "data.train").get_xscale() == "linear"


def test_parallel_lines_go_through_each_trial_s_values(results: Results) -> None:
    host, *axes = plot_parallel(results).axes
    assert [label.get_text() for label in host.get_xticklabels()] == [*SPACE, "val/loss"]
    assert [one.get_yscale() for one in axes] == ["log", "linear", "linear", "linear"]
    (best,) = (line for line in host.lines if line.get_label() == "best val/loss: trial 1")

    def value(axis: int) -> float:
        """Return the value of the best trial's line on an axis."""
        shown = host.transData.transform(np.asarray(best.get_xydata())[axis])
        return float(axes[axis].transData.inverted().transform(shown)[1])

    assert [value(axis) for axis in range(4)] == pytest.approx([0.02, 0, 0, 0.5])  # shallow and relu are typed first
    assert len(host.collections[0].get_paths()) == 3  # the completed ones
    assert "not set" in join_texts(host.figure)  # type: ignore[arg-type]


def test_seeds_and_folds_are_no_hyper_parameters(tmp_path: Path) -> None:
    trials = [
        make_trial(n, {"seed": n, "data.fold": n % 5, "optimizer.lr": 0.1, "optimizer.momentum": n % 3 / 3}, n / 20)
        for n in range(20)
    ]
    space = dict.fromkeys(trials[0].values, "")
    found = read_results(write_sweep_folder(tmp_path, trials, space=space))
    assert [label.get_text() for label in plot_parallel(found).axes[0].get_xticklabels()] == [
        *("optimizer.lr", "optimizer.momentum", "val/loss")
    ]
    assert len([axes for axes in plot_slices(found).axes if axes.get_xlabel()]) == 4
    assert "fewer than two" in join_texts(plot_importance(found))


def test_importance_of_too_few_trials_is_not_computed(results: Results) -> None:
    assert "Too few completed trials: 3" in join_texts(plot_importance(results))


@pytest.mark.parametrize("breaking", [[0], [0, 1, 2]])
def test_a_trial_that_violates_a_constraint_is_drawn_but_is_not_the_best(breaking: list[int], tmp_path: Path) -> None:
    trials = [
        make_trial(
            n, {"optimizer.lr": 0.1 * n + 0.1}, n, n, violated_constraints=["parameters<=0"] if n in breaking else []
        )
        for n in range(3)
    ]
    wanted: dict[str, Direction] = {"val/loss": "minimize", "parameters": "minimize"}
    found = write_sweep_folder(tmp_path, trials, space=SPACE, objectives=wanted)
    results = read_results(found)
    best = results.get_best_trial("val/loss")
    assert (best and best.number) == (None if len(breaking) == 3 else 1)
    assert [on.number for on in results.get_pareto_front()] == ([] if len(breaking) == 3 else [1])
    assert find_markers(plot_history(results).axes[0], "completed") == [(0, 0), (1, 1), (2, 2)]
    assert len([*write_plots(found, tmp_path / "plots")]) == len(PLOTS)


def test_several_objectives_have_a_pareto_plot(tmp_path: Path) -> None:
    trials = [make_trial(n, {"optimizer.lr": 0.1 * n}, *both) for n, both in enumerate([(1, 100), (2, 300), (3, 200)])]
    wanted: dict[str, Direction] = {"val/loss": "minimize", "parameters": "maximize"}
    found = write_sweep_folder(tmp_path, trials, space=SPACE, objectives=wanted)
    assert [path.stem for path in write_plots(found, tmp_path / "plots")][-1] == "pareto"
    (axes,) = plot_pareto(read_results(found)).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("val/loss (lower is better)", "parameters (higher is better)")
    assert find_markers(axes, "completed") == [(1, 100), (2, 300), (3, 200)]
    assert find_markers(axes, "Pareto front: trials 0, 1") == [(1, 100), (2, 300)]


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.floats(1e-6, 1),
    st.sampled_from([1e-300, 1e300, -1e99, 0.0, 10**400]),
    st.text(max_size=40),
    st.lists(st.integers(0, 9), max_size=30),
)
STATUS = st.sampled_from(["completed", "completed", "pruned", "failed", "running"])
ROWS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), ODD),
        st.lists(st.floats(0, 9) | st.floats(), min_size=2, max_size=2),
        STATUS,
    ),
    max_size=16,
)


@given(st.floats(1e-90, 1e90), st.floats(1, 1e9))
def test_a_logarithmic_axis_has_a_few_ticks_within_its_limits(low: float, ratio: float) -> None:
    ticks = choose_log_ticks(low, low * ratio)
    assert 1 <= len(ticks) <= 5
    assert ticks == sorted(set(ticks))
    assert low * 0.99 <= ticks[0]
    assert ticks[-1] <= low * ratio * 1.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")  # which the command leaves out too
@given(ROWS)
@settings(max_examples=10)
def test_odd_trials_are_drawn_without_a_warning(rows: list[tuple[dict[str, Any], list[float], str]]) -> None:
    trials = [
        make_trial(number, values, *([] if status == "failed" else objectives), status=status)
        for number, (values, objectives, status) in enumerate(rows)
    ]
    results = Results("odd", {"val/loss": "minimize", "parameters": "maximize"}, trials, {"a": "tag(log,1,2)"})
    for plot in PLOTS.values():
        figure = draw(plot, results)
        for axes in figure.axes:
            check_labels(figure, axes)


def draw(plot: Callable[[Results], Figure], results: Results) -> Figure:
    figure = plot(results)
    figure.canvas.draw()
    return figure


def check_labels(figure: Figure, axes: Axes) -> None:
    """Check that horizontal labels do not overlap."""
    labels = [label for label in axes.get_xticklabels() if label.get_text() and label.get_rotation() == 0]
    boxes = sorted((label.get_window_extent().x0, label.get_window_extent().x1, label.get_text()) for label in labels)
    low, high = axes.get_window_extent().x0 - 1, axes.get_window_extent().x1 + 1
    shown = [box for box in boxes if low <= (box[0] + box[1]) / 2 <= high]  # the others are not drawn
    assert all(a[1] <= b[0] for a, b in pairwise(shown)), (axes.get_xlabel(), shown)


@pytest.mark.slow
def test_500_trials_are_drawn(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    trials = [
        make_trial(
            n,
            {"optimizer.lr": 10 ** chance.uniform(-5, 0), "activation": f"kind{chance.integers(37)}"},
            chance.random(),
        )
        for n in range(500)
    ]
    paths = [*write_plots(write_sweep_folder(tmp_path / "s", trials, space=SPACE), tmp_path / "plots")]
    assert all(path.stat().st_size > 4_000 for path in paths)


def test_a_damaged_trial_is_named_and_left_out(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sweep / "0" / "run.json").write_text("{")
    assert [trial.number for trial in read_results(sweep).trials] == [1, 2, 3, 4]
    assert f"{sweep / '0' / 'run.json'}: expected a run's manifest" in capsys.readouterr().err


def test_links_in_a_sweep_are_not_followed(sweep: Path, tmp_path: Path) -> None:
    (sweep / "4").rename(tmp_path / "outside")
    (sweep / "4").symlink_to(tmp_path / "outside")
    assert [trial.number for trial in read_results(sweep).trials] == [0, 1, 2, 3]
    (tmp_path / "elsewhere").mkdir()
    (sweep / "plots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="plots: expected a folder; got a link"):
        list(write_plots(sweep, sweep / "plots"))
    (sweep / "plots").unlink()
    (sweep / "plots").mkdir()
    (tmp_path / "mine.png").write_text("mine")
    (sweep / "plots" / "history.png").symlink_to(tmp_path / "mine.png")
    list(write_plots(sweep, sweep / "plots"))
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert list((tmp_path / "elsewhere").iterdir()) == []
