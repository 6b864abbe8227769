"""Trials are ranked and averaged."""

import json
import statistics
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.sweeps.summary import find_pareto_front, group_configurations, make_sweep_json, rank_trials
from copycat.sweeps.sweep_file import SweepFile, write_sweep
from copycat.sweeps.table import describe_close, find_best_trial, print_sweep, read_sweep_rows
from copycat.tables.query import Query
from copycat.tables.statistics import Direction
from tests.support.run_folders import write_run
from tests.support.sweep_folders import write_trial_folder

LOSS: dict[str, Direction] = {"val/loss": "minimize"}


def sweep_of(*varies: str, sweeper: str = "grid", trials: int = 6) -> SweepFile:
    return SweepFile(
        id="",
        status="completed",
        error=None,
        started="",
        ended=None,
        experiment="sweep",
        words=[],
        output_dir="outputs",
        sweeper=sweeper,
        trials=trials,
        objectives=LOSS,
        varies=list(varies),
        config_keys={},
        space={},
    )


def make_row(number: int, status: str = "completed", loss: float | None = None, **values: Any) -> dict[str, Any]:
    named = {key.replace("_", "."): value for key, value in values.items()}
    found = {"trial": number, "folder": "", "status": status, **named}
    return found if loss is None else {**found, "val/loss": loss}


TRIALS = st.lists(
    st.fixed_dictionaries(
        {"trial": st.integers(0, 9), "status": st.sampled_from(["completed", "pruned", "failed", "running", "killed"])},
        optional={
            "val/loss": st.sampled_from([0.0, 1.5, None]),
            "val/f1": st.sampled_from([0.25, 0.5]),
            "violated_constraints": st.just("parameters<=10"),
        },
    )
)


@given(rows=TRIALS, objectives=st.sampled_from([LOSS, {**LOSS, "val/f1": "maximize"}]))
def test_trials_rank_by_status_constraints_and_objectives(
    rows: list[dict[str, Any]], objectives: dict[str, Direction]
) -> None:
    def place(row: dict[str, Any]) -> tuple[int, bool, list[float], int]:
        values = [row.get(name) for name in objectives]
        if row["status"] == "failed":
            return 2, False, [], row["trial"]
        if row["status"] not in ("completed", "pruned") or None in values:
            return 3, False, [], row["trial"]
        signed = [row["val/loss"], *([-row["val/f1"]] if "val/f1" in objectives else [])]
        return int(row["status"] == "pruned"), "violated_constraints" in row, signed, row["trial"]

    assert [*map(id, rank_trials(rows, objectives))] == [*map(id, sorted(rows, key=place))]


def test_completed_trials_rank_before_pruned_failed_and_running_ones() -> None:
    rows = [
        make_row(0, "running"),
        make_row(1, "failed"),
        make_row(2, "pruned", 0.1),
        make_row(3, loss=0.3),
        make_row(4, loss=0.2),
    ]
    assert [found["trial"] for found in rank_trials(rows, LOSS)] == [4, 3, 2, 1, 0]
    assert [found["trial"] for found in rank_trials(rows, {"val/loss": "maximize"})] == [3, 4, 2, 1, 0]


def test_a_trial_that_violates_a_constraint_ranks_last_and_counts_in_no_mean() -> None:
    rows = [
        {**make_row(0, loss=0.1, model="deep", seed=1), "violated_constraints": "parameters<=10"},
        make_row(1, loss=0.3, model="deep", seed=2),
        make_row(2, loss=0.2, model="logistic", seed=1),
        make_row(3, "pruned", 0.05, model="logistic", seed=2),
    ]
    assert [found["trial"] for found in rank_trials(rows, LOSS)] == [2, 1, 0, 3]
    assert find_pareto_front(rows, LOSS) == {2}
    best, other = group_configurations(rows, sweep_of("model", "seed"))
    assert (best.values["model"], best.counts) == ("logistic", "1 of 2, 1 pruned")
    assert (other.mean("val/loss"), other.counts) == (0.3, "1 of 2, 1 outside the constraints")


@pytest.mark.parametrize(
    "space", [{"sweep.zip": "[['seed', 'optimizer.lr']]"}, {"sweep.when": "{'seed': 'optimizer.lr=0.1'}"}]
)
def test_no_run_is_missing_where_seeds_depend_on_the_configuration(space: dict[str, str]) -> None:
    rows = [make_row(n, loss=0.1, seed=n, optimizer_lr=0.1 * n) for n in (1, 2)]
    sweep = sweep_of("optimizer.lr", "seed")
    for one, counts in ((sweep, "1 of 2"), (replace(sweep, space=space), "1")):
        assert [found.counts for found in group_configurations(rows, one)] == [counts, counts]


@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=4))
def test_configurations_rank_by_mean_over_seeds_and_have_a_sample_deviation(losses: list[list[float]]) -> None:
    rows = [
        make_row(5 * which + seed, loss=loss, model=f"m{which}", seed=seed)
        for which, found in enumerate(losses)
        for seed, loss in enumerate(found)
    ]
    found = group_configurations(rows, sweep_of("model", "seed", trials=len(rows)))
    means = [one.mean("val/loss") for one in found]
    assert means == sorted(mean for mean in means if mean is not None)
    for one in found:
        these = losses[int(one.values["model"][1:])]
        assert one.mean("val/loss") == pytest.approx(sum(these) / 5)
        assert one.deviation("val/loss") == pytest.approx(statistics.stdev(these))
        assert one.trials[0]["val/loss"] == min(these)


def test_a_configuration_with_missing_runs_shows_their_number() -> None:
    rows = [make_row(n, loss=n / 10, model="a", data_fold=n) for n in range(5)]
    rows += [make_row(5 + n, loss=0.9, model="b", data_fold=n) for n in range(3)]
    rows += [make_row(8, "failed", model="b", data_fold=3), make_row(9, "pruned", 0.0, model="b", data_fold=4)]
    first, second = group_configurations(rows, sweep_of("model", "data.fold", trials=10))
    assert first.counts == "5"
    assert second.counts in ("3 of 5, 1 failed, 1 pruned", "3 of 5, 1 pruned, 1 failed")
    assert second.mean("val/loss") == pytest.approx(0.9)


def test_one_run_has_no_deviation_and_none_no_mean() -> None:
    one, none = group_configurations(
        [make_row(0, loss=0.5, model="a", seed=0), make_row(1, "failed", model="b", seed=0)], sweep_of("model", "seed")
    )
    assert one.deviation("val/loss") is None
    assert none.mean("val/loss") is None


def test_a_search_that_draws_a_seed_twice_counts_it_once() -> None:
    rows = [
        make_row(0, loss=0.5, model="a", seed=1),
        make_row(1, loss=0.5, model="a", seed=1),
        make_row(2, loss=0.7, model="a", seed=2),
    ]
    (one,) = group_configurations(rows, sweep_of("model", "seed", sweeper="optuna"))
    assert one.counts == "2"
    assert one.mean("val/loss") == pytest.approx(0.6)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=25))
def test_the_front_holds_each_trial_that_no_other_dominates(points: list[tuple[int, int, int]]) -> None:
    wanted: dict[str, Direction] = {"val/loss": "minimize", "val/accuracy": "maximize", "seconds": "minimize"}
    rows = [
        {"trial": number, "status": "completed", "val/loss": a, "val/accuracy": b, "seconds": c}
        for number, (a, b, c) in enumerate(points)
    ]

    def beats(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
        return one != other and one[0] <= other[0] and one[1] >= other[1] and one[2] <= other[2]

    expected = {n for n, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert find_pareto_front(rows, wanted) == expected


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Write a sweep of thirty trials, five seeds per learning rate, one of them failed."""
    write_sweep(tmp_path, sweep_of("optimizer.lr", "seed", trials=30))
    for number in range(30):
        values = {"optimizer.lr": 0.001 * (1 + number // 5), "seed": number % 5}
        status = "failed" if number == 7 else "completed"
        write_trial_folder(
            tmp_path, number, values, status=status, **({} if number == 7 else {"val_loss": 1 - number / 100})
        )
    return tmp_path


def test_the_table_at_a_sweep_s_end_is_cut_and_names_the_command_for_the_rest(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_sweep(sweep, max_rows=3)
    out = capsys.readouterr().out
    assert "27 trials more: copycat runs" in out
    assert "3 configurations more" in out
    assert "mean ± standard deviation" in out
    assert "val/loss: of each trial's best epoch" in out
    print_sweep(sweep)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 4 + 6 + 1 + 4 + 30 + 1


def test_the_note_says_of_which_weights_an_objective_is(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads((sweep / "sweep.json").read_text())
    record["objectives"] = {"val/loss": "minimize", "final/val/loss": "minimize"}
    (sweep / "sweep.json").write_text(json.dumps(record))
    print_sweep(sweep)
    out = capsys.readouterr().out
    assert "val/loss: of each trial's best epoch; final/val/loss: of each trial's final weights" in out


def test_a_failed_trial_shows_its_error_and_counts_in_no_mean(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_sweep(sweep)
    lines = capsys.readouterr().out.splitlines()
    assert "best val/loss 0.7100 by trial 29" in lines[0]
    assert "4 of 5, 1 failed" in next(line for line in lines if "0.002 " in line)
    assert "it went wrong" in next(line for line in lines if "failed" in line and "│ 7 " in line)


@pytest.mark.parametrize(("key", "is_noted"), [("data.image_size", True), ("optimizer.lr", False)])
def test_ranks_over_other_validation_images_are_noted(
    key: str, is_noted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path, sweep_of(key, trials=2))
    for number in range(2):
        write_trial_folder(tmp_path, number, {key: 32 * (number + 1)}, status="completed", val_loss=0.5)
    print_sweep(tmp_path)
    out = capsys.readouterr().out
    assert (f"{key} varies, and so may the images that validate" in out) == is_noted
    assert ("to prove the best" in out) != is_noted


@pytest.mark.parametrize("key", ["data.fold", "data.image_size"])
def test_trials_on_other_images_are_named_below_the_means(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path, sweep_of(*dict.fromkeys((key, "data.fold")), trials=3))
    for number in range(3):
        write_trial_folder(tmp_path, number, {key: number, "data.fold": number}, status="completed", val_loss=0.5)
        (tmp_path / str(number) / "images.csv").write_text(
            f"part,label,digest,name\nval,0,{number // 2},a.png\nval,1,3,b.png\n"
        )
    print_sweep(tmp_path)
    is_named = "the data changed: trial 2 has other images than trial 0" in capsys.readouterr().out
    assert is_named == (key == "data.fold")
    sweep, rows, _ = read_sweep_rows(tmp_path, Query())
    assert bool(make_sweep_json(tmp_path, sweep, rows)["data_changes"]) == is_named
    find_best_trial(tmp_path, Query())
    assert ("copycat: the data changed" in capsys.readouterr().err) == is_named


def test_a_sweep_over_seeds_alone_prints_one_line_of_mean_and_deviation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path, sweep_of("seed", trials=3))
    for number, loss in enumerate((0.1, 0.2, 0.6)):
        write_trial_folder(tmp_path, number, {"seed": number}, status="completed", val_loss=loss)
    print_sweep(tmp_path, Query())
    assert "val/loss 0.3000 ± 0.2646 (mean ± standard deviation) over seed; runs: 3" in capsys.readouterr().out


def test_configurations_that_are_not_distinguishable_from_the_best_are_marked() -> None:
    losses = {"deep": [0.30, 0.35, 0.33, 0.31], "cnn": [0.29, 0.36, 0.34, 0.29], "logistic": [0.80, 0.84, 0.83, 0.81]}
    rows = [
        make_row(number, loss=loss, model=model, seed=seed)
        for number, (model, seed, loss) in enumerate(
            (model, seed, loss) for model, each in losses.items() for seed, loss in enumerate(each)
        )
    ]
    found = group_configurations(rows, sweep_of("model", "seed", trials=len(rows)))
    assert [(one.values["model"], one.is_close) for one in found] == [
        ("cnn", False),
        ("deep", True),
        ("logistic", False),
    ]
    single = [row for row in rows if row["seed"] == 0]
    assert not any(one.is_close for one in group_configurations(single, sweep_of("model", "seed", trials=3)))


def count_close(tmp_path: Path, losses: dict[str, list[float]], repeats: list[dict[str, int]]) -> int:
    """Count the configurations that are marked where four fifths of the images train."""
    write_run(tmp_path, data={"images": {"train": 160, "val": 40}})
    rows = [
        {**make_row(10 * place + at, loss=loss, model=model), **repeat, "folder": str(tmp_path)}
        for place, (model, each) in enumerate(losses.items())
        for at, (loss, repeat) in enumerate(zip(each, repeats, strict=True))
    ]
    found = group_configurations(rows, sweep_of("model", *repeats[0], trials=len(rows)))
    return sum(one.is_close for one in found)


@pytest.mark.parametrize(("key", "close"), [("seed", 0), ("data.fold", 1), ("data.split_seed", 1)])
def test_folds_and_hold_outs_count_for_less_than_seeds(key: str, close: int, tmp_path: Path) -> None:
    """Their training images overlap: the same values tell the configurations apart as seeds, and not as folds."""
    losses = {"deep": [0.30, 0.35, 0.33, 0.31], "cnn": [0.34, 0.38, 0.34, 0.35]}
    assert count_close(tmp_path, losses, [{key: repeat} for repeat in range(4)]) == close


def test_the_overlap_of_training_images_is_that_of_all_folds_where_only_some_ran(tmp_path: Path) -> None:
    losses = {"deep": [0.30, 0.35, 0.33, 0.31], "cnn": [0.32, 0.39, 0.35, 0.35]}
    repeats = [{"data.fold": fold, "seed": seed} for fold in (0, 1) for seed in (0, 1)]
    assert count_close(tmp_path, losses, repeats) == 0


@pytest.mark.parametrize(("folds", "is_named"), [([0, 1], True), ([1], False)])
def test_the_correction_for_folds_is_named_only_where_several_are_compared(
    folds: list[int], is_named: bool, tmp_path: Path
) -> None:
    write_run(tmp_path, data={"images": {"train": 160, "val": 40}})
    values = product(["deep", "cnn"], range(2), folds)
    rows = [
        {**make_row(number, loss=0.3, model=model, seed=seed, data_fold=fold), "folder": str(tmp_path)}
        for number, (model, seed, fold) in enumerate(values)
    ]
    sweep = sweep_of("model", "seed", "data.fold", trials=8)
    assert ("Nadeau and Bengio" in describe_close(sweep, group_configurations(rows, sweep))) == is_named
