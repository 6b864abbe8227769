"""Make the section on a run's calibration: what was fitted, and its figures before and after."""

from collections.abc import Iterator, Sequence

from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import Section, Table
from copycat.records.calibration_file import Calibration
from copycat.tables.statistics import format_number

GROUPS = {
    "out of fold": "each fold",
    "validation": "each fifth of the images",
    "half of validation": "each fifth of them",
}


def make_calibration_section(made: Calibration | None, classes: Sequence[str]) -> Iterator[Section]:
    """Make the section; none for a run without a calibration."""
    if made is None:
        return
    images = f"{pluralize(made.images, 'image')}, {made.fitted_on}"
    note = f"Temperature {made.temperature:.4g}, fitted on {images}."
    if made.thresholds is not None:
        pairs = zip(classes, made.thresholds, strict=True)
        listed = ", ".join(f"{printable(name)} {threshold:.4f}" for name, threshold in pairs)
        note = f"Each class is predicted above a threshold, {listed}, of the largest F1 on {images}."
    if made.costs is not None:
        note += " The class of the smallest expected cost is predicted."
    if made.positive is not None and made.threshold is not None:
        name = printable(classes[made.positive])
        note += f" {name} is predicted from {made.threshold:.4f} on, for a recall of {made.recall:g}."
    if made.coverage is not None:
        note += f" Sets ({made.sets}) with a stated coverage of {made.coverage:g}."
    names = [name for name in made.checked if not name.endswith("_before")]
    rows = [
        [printable(name), format_number(made.checked.get(f"{name}_before")), format_number(made.checked[name])]
        for name in names
    ]
    caption = (
        f"{GROUPS[made.fitted_on].capitalize()} by a fit on the others; the images may have chosen settings before."
    )
    yield Section(title="Calibration", note=note, table=Table(rows, ["metric", "before", "after"], caption))
