"""What `copycat evaluate` prints: metrics of final weights, on the run's own data or on other; of several, as one."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Literal

from copycat.config.printable import print_line
from copycat.config.suggestions import counted, one_of
from copycat.deploy.arguments import Evaluated
from copycat.deploy.ensemble import ensemble
from copycat.deploy.evaluation import Judgement, Row, judge
from copycat.records.run_loader import Opened
from copycat.tables.render import given, print_table, wide_console, write_csv, write_json
from copycat.tables.statistics import figure, told_apart
from copycat.training.summary import positive_class_note

Form = Literal["table", "csv", "json"]
TITLES = ("member", "part", "images", "metric", "value", "95 %")


def evaluate(run: Opened, overrides: Sequence[str], *, views: int = 1) -> list[Row]:
    """Each metric of each part, with its 95 % interval: of accuracy Wilson's, of others by bootstrap.

    Args:
        overrides: which data, as `data=folder`; none for the run's own. All parts that it comes in are evaluated, as
            they are, whatever split it was trained with.
        views: of each image, see `opened_predictor`.

    Raises:
        UserError: where the run cannot predict, the data cannot be read, or its classes are others than the run's.
    """
    return judge(run, overrides, views=views).rows()


def print_evaluation(asked: Evaluated, *, form: Form, views: int = 1) -> None:
    """Print them to standard output.

    Args:
        views: of each image, see `opened_predictor`.
    """
    if asked.is_one_run:
        (run,) = asked.runs
        judged = judge(run, asked.overrides, views=views)
        rows, classes = judged.rows(), run.manifest["data"]["classes"]
        _write(rows, form, {"run": str(run.user_path), "metrics": rows}, judged, classes=classes)
        return
    found = ensemble(asked.runs, asked.overrides, views=views)
    whole, members = found.whole.rows(), found.rows() if len(found.members) > 1 else []
    against = [asdict(one) for one in found.against()]
    runs = [str(folder) for folder in asked.folders]
    rows = [{"member": "ensemble", **row} for row in whole] + members
    as_json = {"runs": runs, "metrics": whole, "members": members, "against": against}
    _write(rows if members else whole, form, as_json, found.whole, classes=found.classes)
    if form == "table" and members:
        print_line(f"ensemble: the mean of the probabilities of {counted(len(found.members), 'member')}")
        for one in found.against():
            apart = told_apart("the ensemble", one.member, one.ensemble_alone, one.member_alone)
            print_line(f"{one.part}: {apart}")


def _write(rows: Sequence[Row], form: Form, whole: Row, judged: Judgement, *, classes: Sequence[str]) -> None:
    if form == "json":
        write_json(whole)
    elif form == "csv":
        write_csv(rows)
    else:
        shown = [
            {**row, "value": figure(row["value"]), "95 %": f"{row['low']:.2f} to {row['high']:.2f}"} for row in rows
        ]
        print_table(wide_console(), [(title, given(title)) for title in TITLES if title in shown[0]], shown)
        is_scored = any(row["metric"] == "precision" for row in rows)
        for line in (*_missing(judged, classes), *(positive_class_note(classes) if is_scored else ())):
            print_line(line)


def _missing(judged: Judgement, classes: Sequence[str]) -> Iterator[str]:
    """What cannot be said of parts that lack classes."""
    for part, missing in judged.missing.items():
        if missing:
            left = "accuracy alone is known" if len(classes) == 2 else "averages are over the other classes"
            yield f"{part}: no image of {one_of(missing)}: {left}; balanced_accuracy and auroc need each class"
