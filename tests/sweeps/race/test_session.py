"""Races of real sweeps: on each launcher, stopped and resumed, after the sweep and by a command of its own."""

import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import read_trial
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.engine import Runner
from copycat.sweeps.job import Job
from copycat.sweeps.race.page import make_race_section
from copycat.sweeps.race.plan import REPORT_ROUNDS
from copycat.sweeps.race.record import read_race
from copycat.sweeps.race.text import describe_race
from tests.support.commands import call_copycat
from tests.support.images import write_image_folder
from tests.support.packs import PACKED, pack_of, run_sweep
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits
from tests.support.sweeps import read_sweep_file

RATES = "optimizer.lr=1e-6,0.1"
"""A rate that learns nothing, and one that learns the tiny images."""
SMALL = ("model=logistic", "trainer.max_epochs=8", "logger=none", "data.folds=4", "sweep.prove_rounds=4")
LAUNCHERS = {
    "alone": (RATES,),
    "packed": (RATES, PACKED),
    "processes": (RATES, "hydra/launcher=processes", "hydra.launcher.workers=2"),
    "search": (
        "optimizer.lr=choice(1e-6,0.1)",
        "hydra/sweeper=optuna",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.n_trials=6",
        "hydra/sweeper/sampler=random",
    ),
}


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose classes any network that learns tells apart: 12 of each to train on, 4 to test on."""
    classes = {"dog": 0, "cat": 60}
    return write_image_folder(
        tmp_path_factory.mktemp("clear"), classes=classes, parts={"train": 12, "val": 4}, levels=60
    )


def trials_of(folder: Path) -> dict[int, dict[str, Any]]:
    return {int(path.parent.name): json.loads(path.read_text())["values"] for path in folder.glob("race/*/trial.json")}


@pytest.mark.parametrize("kind", mark_slow(LAUNCHERS, fast=["packed"]))
def test_a_race_finds_the_better_configuration_and_reports_it_from_other_seeds_and_folds(
    kind: str, clear: Path, tmp_path: Path
) -> None:
    folder = run_sweep(*SMALL, *LAUNCHERS[kind], "sweep.prove=true", data=clear, at=tmp_path)
    race = read_race(folder)
    assert race.verdict == "best"
    assert race.plan.candidates[race.chosen[0]]["values"] == {"optimizer.lr": 0.1}
    assert len(race.plan.candidates) == 2  # a search proposes values more than once
    assert race.report is not None
    assert race.report.ahead is not None
    assert race.report.ahead.pairs == 4 * REPORT_ROUNDS
    assert race.report.ahead.interval(0.025)[0] > 0
    values = trials_of(folder)
    raced = {number: one for number, one in values.items() if number < 2 * 4 * 4}
    reported = {number: one for number, one in values.items() if number not in raced}
    assert len(reported) == 2 * 4 * REPORT_ROUNDS
    assert {one["seed"] for one in raced.values()}.isdisjoint(one["seed"] for one in reported.values())
    divisions = [{one["data.split_seed"] for one in some.values()} for some in (raced, reported)]
    assert divisions[0].isdisjoint(divisions[1])
    without = [*describe_race(replace(race, report=None, report_failures=2), folder)]
    assert without[1:] == [f"2 runs of the report failed, so it has no figures: copycat runs {folder / 'race'}"]
    printed = (tmp_path / "output.txt").read_text()
    assert "race: lr=0.1 is best of 2 configurations by val/loss" in printed
    assert "95 % interval" in printed
    assert "test/loss of these runs, on 8 images that chose nothing: lr=0.1 " in printed
    for number, record in ((0, raced), (32, reported)):  # the race itself does not look at the test part
        assert number in record
        final = read_manifest(folder / "race" / str(number))["results"]["final"]
        assert ("test/loss" in final) == (record is reported)
    assert [f"{one:.4f}" for one in read_race(folder).report.test] == re.findall(  # type: ignore[union-attr]
        r"lr=\S+ ([\d.]+)", printed.partition("chose nothing:")[2].partition("next:")[0]
    )
    assert (pack_of(folder / "race" / "0") is not None) == (kind == "packed")


def test_a_race_by_a_metric_of_training_reports_that_metric_on_the_test_images(clear: Path, tmp_path: Path) -> None:
    words = (*SMALL, RATES, PACKED, "trainer.max_epochs=2", "data.folds=2", "sweep.prove_rounds=2")
    folder = run_sweep(*words, "sweep.objective=train/loss", "sweep.prove=true", data=clear, at=tmp_path)
    race = read_race(folder)
    assert race.report is not None
    numbers = [race.plan.number(race.chosen[0], pair) for pair in race.plan.pairs("report")]
    finals = [read_manifest(folder / "race" / str(number))["results"]["final"] for number in numbers]
    assert race.report.test[0] == pytest.approx(fmean(final["test/loss"] for final in finals))
    sentences = [line for line in describe_race(race, folder) if "chose nothing" in line]
    assert [line.partition(" ")[0] for line in sentences] == ["test/loss"]


def test_the_runs_of_a_pair_have_the_same_images_and_a_round_has_each_image_in_one_fold(
    clear: Path, tmp_path: Path
) -> None:
    folder = run_sweep(*SMALL, RATES, PACKED, "sweep.prove=true", data=clear, at=tmp_path)
    parts: dict[tuple[int, int], set[str]] = {}
    for number, values in trials_of(folder).items():
        manifest = read_manifest(folder / "race" / str(number))
        assert manifest["data"]["images"]["val"] == 6
        parts.setdefault((values["data.split_seed"], values["data.fold"]), set()).add(
            manifest["provenance"]["data"]["val"]
        )
    assert all(len(one) == 1 for one in parts.values())
    assert len(set().union(*parts.values())) == len(parts)
    assert read_race(folder).data_changes == ""
    index = folder / "race" / "3" / "images.csv"
    index.write_text(index.read_text().replace("train,0", "train,1", 1))
    described = [*describe_race(read_race(folder), folder)]
    assert any(line.startswith("the data changed: trial 3 has other images") for line in described)


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "stop_after"), [("alone", 3), ("packed", 3), ("alone", 12), ("packed", 12)])
def test_a_race_that_stopped_goes_on_to_the_bits_of_one_that_did_not(
    launcher: str, stop_after: int, clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*SMALL, *LAUNCHERS[launcher], "sweep.prove=true"]
    whole = run_sweep(*words, data=clear, at=tmp_path / "whole")
    started, start_next = 0, Runner.next

    def stop(self: Runner, **options: Any) -> Job | None:
        nonlocal started
        started += self.folder.name == "race"
        if started == stop_after:  # inside the first round, or in the runs for the report
            raise KeyboardInterrupt
        return start_next(self, **options)

    monkeypatch.setattr(Runner, "next", stop)
    stopped = run_sweep(*words, data=clear, at=tmp_path / "stopped", status=130)
    monkeypatch.setattr(Runner, "next", start_next)
    assert read_sweep_file(stopped)["status"] == read_sweep_file(stopped / "race")["status"] == "interrupted"
    assert read_race(stopped).verdict == ("open" if stop_after < 8 else "best")
    assert read_race(stopped).report is None
    call_copycat("resume", stopped / "race")
    assert read_race(stopped) == read_race(whole)
    for number in trials_of(whole):
        assert_same_bits(stopped / "race" / str(number), whole / "race" / str(number))
    assert read_sweep_file(stopped)["status"] == read_sweep_file(stopped / "race")["status"] == "completed"


@pytest.mark.parametrize("alarm", [False, True])
def test_a_race_whose_time_is_over_says_so_and_goes_on_with_more(
    alarm: bool, clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm interrupts the main thread, in which a trial saves; else no other trial starts."""
    words = [*SMALL, RATES, "sweep.prove=true", "sweep.max_time=1h"]
    started, start_next = 0, Runner.next

    def start(self: Runner, **options: Any) -> Job | None:
        nonlocal started
        started += self.folder.name == "race"
        if started > 3 and alarm:
            raise KeyboardInterrupt
        return start_next(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "next", start)
        patch.setattr(SweepBudget, "is_over", property(lambda _: started > 3))
        folder = run_sweep(*words, data=clear, at=tmp_path)
    record = read_sweep_file(folder)
    assert (record["status"], record["error"]) == (
        "stopped",
        f"sweep.max_time{'=1h' if alarm else ''} is over: the race has not ended",
    )
    assert len(trials_of(folder)) == 3
    assert f"copycat resume {folder} sweep.max_time=MORE" in (tmp_path / "output.txt").read_text().replace("\n", " ")
    call_copycat("resume", folder, "sweep.max_time=null")
    assert read_sweep_file(folder)["status"] == "completed"
    assert read_race(folder).report is not None


def test_a_sweep_is_proved_afterwards_and_its_tables_and_page_say_so(
    clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_sweep(*SMALL, RATES, PACKED, data=clear, at=tmp_path)
    command = f"copycat prove {folder}"
    assert f"one run of each configuration: ranks may be chance; to prove the best: {command}" in (
        tmp_path / "output.txt"
    ).read_text().replace("\n", " ")
    before = read_sweep_file(folder)
    call_copycat("prove", folder, "sweep.prove_candidates=2")
    assert read_race(folder).verdict == "best"
    after = read_sweep_file(folder)
    assert after["id"] == before["id"]
    assert "sweep.prove=true" in after["words"]
    capsys.readouterr()
    call_copycat("runs", folder)
    table = capsys.readouterr().out
    assert "worse than lr=0.1" in table
    assert "race: lr=0.1 is best" in table
    assert "completed, 2 of 2 trials" in table  # those of the race are not the sweep's
    call_copycat("evaluate", folder)  # of the sweep's two runs alone
    assert "2 runs" in capsys.readouterr().err
    call_copycat("runs", tmp_path, "--csv")
    assert len(capsys.readouterr().out.splitlines()) == 3  # a line of titles, and the two runs
    call_copycat("runs", folder / "race")
    assert "each configuration over seed and data.split_seed and data.fold" in capsys.readouterr().out
    call_copycat("report", folder)
    page = (folder / "report.html").read_text()
    assert "Remaining candidates" in page
    assert "Nadeau and Bengio" in page
    assert "Test/loss" not in page  # a metric keeps its name at the start of a sentence
    differences = make_race_section(read_race(folder), folder).images[0].charts[0]
    rounds = [str(number) for number in range(1, len(read_race(folder).rounds) + 1)]
    assert differences.x_axis.labels == rounds  # whole ones, though points of one round stand side by side
    assert {round(x) for line in differences.series for x in line.x or ()} == {*range(len(rounds))}
    call_copycat("prove", folder, "sweep.prove_round=9", status=2)
    assert "Did you mean sweep.prove_rounds?" in capsys.readouterr().err
    call_copycat("prove", folder, "sweep.prove_rounds=9", status=2)
    assert "sweep.prove_rounds: expected 4, with which the race in" in capsys.readouterr().err
    assert read_sweep_file(folder) == after  # with its words and its status


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("data.split=holdout", "data.holdout=0.3,0.4"), "expected trials on the same images; data.holdout varies."),
        ((RATES, "sweep.objective=[parameters,val/loss]"), "a metric as the first objective; got parameters."),
    ],
)
def test_a_completed_sweep_that_cannot_be_raced_stays_completed_and_is_not_said_to_be_provable(
    words: tuple[str, ...], line: str, clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_sweep(*SMALL, *words, PACKED, data=clear, at=tmp_path)
    assert "copycat prove" not in (tmp_path / "output.txt").read_text()
    before = read_sweep_file(folder)
    call_copycat("prove", folder, status=2)
    assert line in capsys.readouterr().err
    assert read_sweep_file(folder) == before


def test_a_failing_candidate_leaves_the_race(clear: Path, tmp_path: Path) -> None:
    """Its sweep's run has no fold, with which alone it diverges."""
    breaking = "+callbacks.breaks={_target_: tests.support.callbacks.FailOnFold, rate: 0.1}"
    folder = run_sweep(*SMALL, RATES, breaking, "sweep.prove=true", data=clear, at=tmp_path)
    race = read_race(folder)
    assert race.rounds[0].left == {0: None} or race.rounds[0].left == {1: None}
    assert race.verdict == "best"
    assert race.plan.candidates[race.chosen[0]]["values"] == {"optimizer.lr": 1e-6}
    assert race.report is not None
    assert race.report.ahead is None
    failed = [read_trial(path.parent).status for path in folder.glob("race/*/trial.json")].count("failed")
    assert failed == 4


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("data.folds=3,4",), "sweep.prove: expected trials on the same images; data.folds varies."),
        (("data.image_size=8,16",), "sweep.prove: expected trials on the same images; data.image_size varies."),
        (("optimizer.lr=0.1",), "sweep.prove: expected two configurations or more; got one. Type several values of"),
        (("seed=1,2",), "sweep.prove: expected two configurations or more; got one, with several values of seed. Type"),
    ],
)
def test_a_sweep_that_cannot_be_raced_says_so_before_it_trains(
    words: tuple[str, ...], line: str, clear: Path, tmp_path: Path
) -> None:
    run_sweep("model=logistic", "trainer.max_epochs=1", "logger=none", *words, "sweep.prove=true",
              data=clear, at=tmp_path, status=2)  # fmt: skip
    assert line in (tmp_path / "output.txt").read_text().replace("\n", " ")
    assert not (tmp_path / "sweep").exists()
