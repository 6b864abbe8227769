"""`copycat evaluate`: print metrics of final weights on the run's own or other data, for one run or an ensemble."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Literal

from copycat.config.printable import print_line
from copycat.config.suggestions import one_of, pluralize
from copycat.deploy.arguments import EvaluationArguments
from copycat.deploy.calibration_note import describe_rechecks, format_interval, report_foreign_calibrations
from copycat.deploy.calibration_rows import MetricRow
from copycat.deploy.class_report import make_class_reports, print_class_reports
from copycat.deploy.ensemble import evaluate_ensemble
from copycat.deploy.evaluation import Evaluation, evaluate_parts
from copycat.records.calibration_file import FILE
from copycat.records.image_index import FILE as IMAGES
from copycat.records.image_index import read_images
from copycat.records.run_loader import Opened
from copycat.tables.render import print_table, value_cell, wide_console, write_csv, write_json
from copycat.tables.statistics import describe_mcnemar, format_number
from copycat.training.summary import score_note

Form = Literal["table", "csv", "json"]
TITLES = ("member", "part", "images", "metric", "value", "95 % interval")

INTERVAL_NOTE = "95 % interval: of accuracy by Wilson's score, of other metrics by bootstrap over the images"

MULTI_LABEL_INTERVAL_NOTE = "95 % interval: of exact_match by Clopper-Pearson, of other metrics by bootstrap"


def print_evaluation(arguments: EvaluationArguments, *, form: Form, views: int = 1, calibrated: bool = True) -> None:
    """Print the metrics to standard output; for `views` and `calibrated` see `open_predictor`."""
    report_foreign_calibrations(arguments.runs if calibrated else ())
    _report_missing_images(arguments.runs)
    if arguments.is_one_run:
        (run,) = arguments.runs
        evaluation = evaluate_parts(run, arguments.overrides, views=views, calibrated=calibrated)
        _report_remarks(evaluation)
        rows, classes = evaluation.rows(), run.manifest["data"]["classes"]
        reports = make_class_reports(evaluation, classes)
        as_json = {"run": str(run.user_path), "metrics": rows, "parts": reports}
        _write(rows, form, as_json, evaluation, classes=classes)
        if form == "table":
            print_class_reports(reports, classes)
        return
    ensemble = evaluate_ensemble(arguments.runs, arguments.overrides, views=views, calibrated=calibrated)
    _report_remarks(ensemble.combined)
    combined, members = ensemble.combined.rows(), ensemble.rows() if len(ensemble.members) > 1 else []
    comparisons = ensemble.compare_with_best()
    runs = [str(folder) for folder in arguments.folders]
    rows = [{"member": "ensemble", **row} for row in combined] + members
    as_json = {"runs": runs, "metrics": combined, "members": members, "against": [*map(asdict, comparisons)]}
    _write(rows if members else combined, form, as_json, ensemble.combined, classes=ensemble.classes)
    if form == "table" and members:
        made = sum((run.folder / FILE).exists() for run in arguments.runs) if calibrated else 0
        more = f"; calibrated: {made} of {pluralize(len(arguments.runs), 'run')}" if made else ""
        print_line(f"ensemble: the mean of the probabilities of {pluralize(len(ensemble.members), 'member')}{more}")
        for one in comparisons:
            difference = describe_mcnemar("the ensemble", one.member, one.ensemble_alone, one.member_alone)
            print_line(f"{one.part}: {difference}")


def _report_missing_images(runs: Sequence[Opened]) -> None:
    """Say on standard error which runs have no readable images.csv, by which images that were trained on are found."""
    for run in runs:
        if read_images(run.folder) is None:
            reason = "missing or damaged; whether images were also trained on cannot be checked"
            print_line(f"copycat: {run.user_path / IMAGES}: {reason}", error=True)


def _report_remarks(evaluation: Evaluation) -> None:
    for line in filter(None, (evaluation.unreadable, evaluation.changed, evaluation.differing)):
        print_line(f"copycat: {line}", error=True)


def _write(
    rows: Sequence[MetricRow], form: Form, as_json: MetricRow, evaluation: Evaluation, *, classes: Sequence[str]
) -> None:
    if form == "json":
        write_json(as_json)
    elif form == "csv":
        write_csv(rows)
    else:
        shown = [{**row, "value": format_number(row["value"]), "95 % interval": format_interval(row)} for row in rows]
        print_table(wide_console(), [(title, value_cell(title)) for title in TITLES if title in shown[0]], shown)
        is_scored = any(row["metric"] == "precision" for row in rows)
        is_several = any(each.is_multi_label for each in evaluation.predictions.values())
        notes = [
            MULTI_LABEL_INTERVAL_NOTE if is_several else INTERVAL_NOTE,
            *(score_note(classes, multi_label=is_several) if is_scored else ()),
            *describe_rechecks(evaluation),
        ]
        for line in (*_missing(evaluation, classes), *notes):
            print_line(line)


def _missing(evaluation: Evaluation, classes: Sequence[str]) -> Iterator[str]:
    """Describe the effect of classes that a part lacks."""
    for part, missing in evaluation.missing.items():
        if missing:
            if evaluation.predictions[part].is_multi_label:
                effect = "its precision, recall and f1 count as 0"
            else:
                effect = "accuracy alone is known" if len(classes) == 2 else "averages are over the other classes"
            yield f"{part}: no image of {one_of(missing)}: {effect}; balanced_accuracy and auroc need each class"
