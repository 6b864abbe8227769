"""Run a deep check for `copycat data check --deep`: print it, write its page, and its table where that is wanted."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from copycat.config.printable import make_console, print_line, printable
from copycat.config.suggestions import pluralize, quote_value, type_override
from copycat.data.datamodule import DataModule
from copycat.data.labels import SEPARATOR
from copycat.data.pool import Pool, join_parts
from copycat.data.report import MAX_LINES
from copycat.data.sources.label_order import sort_classes
from copycat.inspection.quality.deep_check import check_deep
from copycat.inspection.quality.out_of_fold import Probabilities, read_fold_predictions
from copycat.inspection.quality.page import list_lines, make_quality_page
from copycat.inspection.quality.table import check_names, write_quality_table
from copycat.inspection.reports.page import write_page


def report_deep_check(
    data: DataModule, *, to: Path, table: Path | None, exclude: Sequence[str], predictions: Path | None
) -> None:
    """Check the data, print what was found, and write the page and the table.

    Raises:
        UserError: where a file cannot be written, or `predictions` are not of these images.
    """

    def read(pool: Pool) -> Probabilities:
        assert predictions is not None
        return read_fold_predictions(pool, predictions, classes=data.classes)

    if table is not None:
        check_names(join_parts(data.parts), table)
    check = check_deep(data, predictions=None if predictions is None else read)
    console = make_console(soft_wrap=True)
    for line in list_lines(check, most=MAX_LINES if console.is_terminal else None):
        console.print(printable(line))
    write_page(make_quality_page(check, title="Data check"), to)
    print_line(to)
    if table is not None:
        excluded = write_quality_table(check, table, exclude=exclude, is_official=data.has_official_parts)
        print_line(
            f"{table}: {pluralize(excluded, 'image')} of {len(check.pool)} excluded; train on the others:"
            f" {_training_command(data, table)}"
        )


def _training_command(data: DataModule, table: Path) -> str:
    """Return the command that trains on the table, with the classes that the data have, in their order."""
    words = ["copycat train data=csv", type_override("data.file", str(table))]
    if data.is_multi_label:
        words.append(type_override("data.label_separator", SEPARATOR))
    if list(data.classes) != sort_classes(data.classes):
        names = ",".join(quote_value(name, mark='"') for name in data.classes)
        words.append(quote(f"data.classes=[{names}]"))
    return " ".join([*words, "data.groups=group"])
