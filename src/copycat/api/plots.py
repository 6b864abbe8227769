"""Plot the metrics and the predictions of a recorded run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from matplotlib.figure import Figure

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of
from copycat.inspection.reports.confusion_plots import make_confusion_plot
from copycat.inspection.reports.curves import make_curves
from copycat.records.predictions import read_predictions


def plot_metrics(rows: Sequence[Mapping[str, float]], metrics: Sequence[str], *, best: int | None) -> Figure:
    """Draw metrics by epoch; see `Run.plot`.

    Raises:
        UserError: where none is named, or no row has such a metric.
    """
    names = {name.partition("/")[2] for row in rows for name in row} - {""}
    if isinstance(metrics, str) or not isinstance(metrics, Sequence) or not metrics:
        wrong = f"{metrics!r}. Type [{metrics!r}]" if isinstance(metrics, str) else f"{metrics!r}"
        raise UserError(f"metrics: expected a list of names, some of {one_of(names) or 'none'}; got {wrong}.")
    for metric in metrics:
        if metric not in names:
            hint = did_you_mean(metric, names)
            raise UserError(f"metrics: expected some of {one_of(names) or 'none'}; got {metric!r}.{hint}")
    return make_curves(rows, metrics, best=best)


def plot_confusion(folder: Path, part: str, *, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix; see `Run.plot_confusion`.

    Raises:
        UserError: where predictions.csv lacks the part, or is damaged, or images may have several classes.
    """
    predictions = read_predictions(folder, classes=len(classes))
    if not predictions:
        raise UserError(f"{folder}: expected a completed run, which has predictions; got none.")
    if part not in predictions:
        raise UserError(f"part: expected one of {one_of(predictions)}; got {part!r}.")
    if predictions[part].is_multi_label:
        raise UserError(
            f"{folder}: expected a run on images of one class each; these may have several."
            f" Type copycat report {quote(str(folder))}, which counts each class."
        )
    return make_confusion_plot(predictions[part].probability, predictions[part].label, classes)
