"""`copycat calibrate`: print a calibration, its figures before and after, and what they are worth."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.deploy.calibrate import Calibrated, calibrate
from copycat.deploy.calibration_note import format_interval
from copycat.deploy.calibration_plan import Plan
from copycat.deploy.calibration_request import CalibrationRequest
from copycat.deploy.calibration_rows import INTERVAL_NOTE
from copycat.deploy.label_thresholds import describe_thresholds
from copycat.models.temperature import HIGHEST
from copycat.records.calibration_file import FILE
from copycat.tables.exact_intervals import coverage_interval
from copycat.tables.render import Column, metric_cell, print_table, value_cell, wide_console, write_json
from copycat.tables.statistics import format_number

MULTI_LABEL_NOTE = (
    "before: above 0.5; precision, recall, f1: means over the classes, with intervals by bootstrap; exact_match: share"
    " of images right in all classes, with its exact interval, by Clopper-Pearson"
)


def print_calibrations(plans: Sequence[Plan], request: CalibrationRequest, *, form: Literal["table", "json"]) -> None:
    """Calibrate runs, and print temperature, figures before and after, and what they are worth."""
    done = [calibrate(plan, request) for plan in plans]
    if form == "json":
        write_json({"calibrations": [_as_json(one) for one in done]})
    elif len(done) == 1:
        _print_one(done[0], request)
    else:
        _print_several(done)


def _as_json(one: Calibrated) -> dict[str, Any]:
    return {
        "runs": [str(run.user_path) for run in one.plan.runs],
        "fitted_on": one.sample.fitted_on,
        "images": len(one.sample.label),
        "temperature": one.fitted.temperature,
        **one.fitted.decision,
        "metrics": one.rows(),
    }


def _print_one(one: Calibrated, request: CalibrationRequest) -> None:
    thresholds = one.fitted.decision.get("thresholds")
    if thresholds is None:
        print_line(f"temperature {one.fitted.temperature:.4g}, fitted on {_describe_images(one)}")
    else:
        print_line(
            f"thresholds: {describe_thresholds(thresholds, one.plan.classes)}, fitted on {_describe_images(one)}"
        )
    rows = [
        {
            **row,
            "before": format_number(row["before"]),
            "after": format_number(row["after"]),
            "95 % interval": format_interval(row),
        }
        for row in one.rows()
    ]
    titles = ("metric", "images", "before", "after", "95 % interval")
    if rows:
        print_table(wide_console(), [(title, value_cell(title)) for title in titles], rows)
    for line in (*_notes(one, request), *(str(run.user_path / FILE) for run in one.plan.runs)):
        print_line(line)


def _print_several(done: Sequence[Calibrated]) -> None:
    rows = []
    for one in done:
        figures = {row["metric"]: row["value"] for row in one.check.after}
        before = {f"{row['metric']} before": row["value"] for row in one.check.before}
        names = ", ".join(str(run.user_path) for run in one.plan.runs)
        rows.append({"runs": names, "images": len(one.sample.label), "t": one.fitted.temperature, **before, **figures})
    metrics = ("nll before", "nll", "ece before", "ece", "coverage", "set_size", "f1 before", "f1", "exact_match")
    columns: list[Column] = [(name, value_cell(name)) for name in ("runs", "images")]
    columns += [("temperature", metric_cell("t"))]
    columns += [(name, metric_cell(name)) for name in metrics if any(name in row for row in rows)]
    print_table(wide_console(), columns, rows, shrinkable=("runs",))
    for one in done:
        for line in _limits(one):
            print_line(f"{', '.join(str(run.user_path) for run in one.plan.runs)}: {line}")
    for line in dict.fromkeys(line for one in done for line in _honesty(one)):
        print_line(line)


def _describe_images(one: Calibrated) -> str:
    images = len(one.sample.label)
    if one.sample.fitted_on == "out of fold":
        return f"the out-of-fold predictions of {pluralize(images, 'image')} in {len(one.plan.sources)} folds"
    if one.sample.fitted_on == "validation":
        return f"the {pluralize(images, 'validation image')}"
    return f"half of the validation images, {pluralize(images, 'image')}"


def _notes(one: Calibrated, request: CalibrationRequest) -> Iterator[str]:
    before = one.replaced
    if before is not None and (before.fitted_on, before.images) != (one.sample.fitted_on, len(one.sample.label)):
        yield f"replaced the calibration that was fitted on {pluralize(before.images, 'image')}, {before.fitted_on}"
    if one.fitted.is_separable:
        yield "the temperature stays 1: each of these images is classified correctly, so that none is too confident"
    yield from _limits(one)
    if one.check.after:
        yield MULTI_LABEL_NOTE if "thresholds" in one.fitted.decision else INTERVAL_NOTE
    decision, classes = one.fitted.decision, one.plan.classes
    if "threshold" in decision:
        yield (
            f"{classes[decision['positive']]} is predicted from a probability of {decision['threshold']:.4f} on:"
            f" a recall of {decision['recall']:g} on new images"
        )
    if request.costs is not None and len(classes) == 2:
        yield _threshold_of_costs(request.costs, classes)
    if "rank" in decision:
        low, high = coverage_interval(decision["rank"], len(one.sample.label))
        yield (
            f"sets: a stated coverage of {decision['coverage']:g}; with {len(one.sample.label)} images, 95 % of such"
            f" calibrations cover between {low:.2f} and {high:.2f} of new images, or more"
            " where the most probable class alone does"
        )
        if one.sample.fitted_on == "out of fold" and one.check.coverages:
            yield f"coverage of each fold: {', '.join(f'{share:.2f}' for share in one.check.coverages)}"
        if any(row["metric"] == "not_sure" and row["value"] == 0 for row in one.check.after):
            yield "no set has several classes: the most probable class alone is right often enough"
    if not one.is_checked:
        yield "coverage and recall: not checked, as a fifth of the images leaves too few to fit on"
    yield from _honesty(one)


def _threshold_of_costs(costs: Sequence[Sequence[float]], classes: Sequence[str]) -> str:
    """Describe the costs of two classes by the probability at which the decision changes."""
    (right_0, false_1), (false_0, right_1) = costs
    gain_0, gain_1 = false_1 - right_0, false_0 - right_1
    if gain_0 + gain_1 <= 0 or gain_0 < 0 or gain_1 < 0:
        return "costs: an error is cheaper than being right; the cheapest class is predicted all the same"
    return f"{classes[1]} is predicted above a probability of {gain_0 / (gain_0 + gain_1):.4f}, by the costs"


def _limits(one: Calibrated) -> Iterator[str]:
    if one.fitted.temperature == HIGHEST:
        line = "the temperature is at its limit: these probabilities tell nothing about the classes"
        nll = [row["value"] for row in (*one.check.before, *one.check.after) if row["metric"] == "nll"]
        yield line + (", and nll gets worse" if len(nll) == 2 and nll[1] > nll[0] else "")
        if one.sample.fitted_on == "out of fold":
            yield "one fold that is far off suffices for that: compare the folds, and train that one again"


def _honesty(one: Calibrated) -> Iterator[str]:
    """Describe the reliability of the figures: the images may have chosen something before."""
    rivals = f"ranked the {one.plan.rivals} trials" if one.plan.rivals > 1 else "chosen the epoch or the settings"
    if one.sample.fitted_on == "out of fold":
        yield "before, after: each fold by a fit on the others"
        if one.plan.rivals > 1:
            yield (
                f"the same folds may have ranked the {one.plan.rivals} configurations: of the best, these figures are"
                " optimistic; the test part tells: copycat evaluate RUN"
            )
        return
    yield "before, after: each fifth of the images by a fit on the others"
    yield (
        f"validation images may also have {rivals}: then these figures are optimistic. Images that chose nothing:"
        " the test part (copycat evaluate RUN), or folds (copycat calibrate SWEEP, a sweep over data.fold)"
    )
    if one.sample.fitted_on == "validation":
        yield "copycat evaluate RUN checks on images that were calibrated on; with --half, on the other half"
