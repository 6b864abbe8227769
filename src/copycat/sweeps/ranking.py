"""Make the ranking of a sweep's page, with confidence intervals."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.inspection.reports.contents import FIRST, Axis, Cell, Chart, PageImage, Section, Series, Table
from copycat.records.epoch_size import count_epoch_images
from copycat.records.reader import parse_config
from copycat.sweeps.summary import Configuration, data_change_notes, group_configurations
from copycat.sweeps.sweep_file import SweepFile
from copycat.sweeps.table import (
    configuration_columns,
    configuration_rows,
    describe_close,
    trial_columns,
)
from copycat.tables.render import Column
from copycat.tables.run_reader import RunRecord
from copycat.tables.run_row import RunRow
from copycat.tables.statistics import format_number, mean_interval, wilson_interval

MAX_ROWS = 200
"""Maximum number of trials in the table."""
MAX_INTERVALS = 30
"""Maximum number of trials in the chart of intervals."""
ACCURACY = "val/accuracy"
WHOLE = 2**40
"""More images than any part has, of which a limited validation is a part."""


def make_ranking_sections(
    sweep: SweepFile, rows: Sequence[RunRow], records: Mapping[str, RunRecord]
) -> Iterator[Section]:
    """Make the tables of configurations and of trials, the best first; `rows` are by rank, `records` by folder."""
    if sweep.repeats and sweep.hyper_parameters:
        summaries = group_configurations(rows, sweep)
        repeats = " and ".join(sweep.repeats)
        note = f"Mean ± deviation over {repeats}, best first; 95 % intervals of the mean by Student's t."
        if any(one.is_close for one in summaries):
            note += f" {describe_close(sweep, summaries)}."
        columns = configuration_columns(sweep)
        cells = _cells(columns, configuration_rows(summaries, sweep))
        intervals = [[_mean_cell(one, name) for name in sweep.objectives] for one in summaries]
        head = [*(title for title, _ in columns), *(f"95 % of {name}" for name in sweep.objectives)]
        table = Table([[*row, *more] for row, more in zip(cells, intervals, strict=True)], head)
        yield Section(title="Configurations", note=note, table=table)
    if not rows:
        return
    shown, columns = rows[:MAX_ROWS], trial_columns(rows, sweep, wide=True)
    is_limited = _may_limit_validation(sweep, shown, records)
    intervals_by_trial = {
        row["trial"]: found for row in shown if (found := _accuracy_interval(row, records, is_limited=is_limited))
    }
    note = " ".join(["Best first.", *(f"{one[0].upper()}{one[1:]}." for one in data_change_notes(rows, sweep))])
    if len(rows) > MAX_ROWS:
        note += f" The first {MAX_ROWS} of {len(rows)}; all of them: copycat runs."
    if intervals_by_trial:
        note += f" {ACCURACY}: of the best epoch, with its 95 % interval by Wilson's score."
        columns = [column for column in columns if column[0] != ACCURACY]
        columns.append((ACCURACY, lambda row: _interval_text(intervals_by_trial.get(row["trial"]))))
    leading = ["trial", "status", *map(printable, sweep.objectives), ACCURACY]
    columns.sort(key=lambda column: leading.index(column[0]) if column[0] in leading else len(leading))
    yield Section(
        title="Trials",
        note=note,
        table=Table(_cells(columns, shown), [title for title, _ in columns]),
        images=[*_interval_chart(intervals_by_trial)],
    )


def _cells(columns: Sequence[Column], rows: Sequence[RunRow]) -> list[list[str | Cell]]:
    return [[cell(row) for _, cell in columns] for row in rows]


def _mean_cell(one: Configuration, name: str) -> str:
    interval = mean_interval([trial[name] for trial in one.trials])
    return "–" if interval is None else f"{format_number(interval[0])} to {format_number(interval[1])}"


def _may_limit_validation(sweep: SweepFile, rows: Sequence[RunRow], records: Mapping[str, RunRecord]) -> bool:
    """Return whether trials may validate epochs on a part of the images, by the first that has a configuration."""
    if {"trainer.limit_val_batches", "experiment"} & {*sweep.varies}:
        return True
    for record in (records[row["folder"]] for row in rows if row["folder"] in records):
        with suppress(UserError):
            return count_epoch_images(parse_config(record.folder)[1], {"val": WHOLE})["val"] < WHOLE
    return False


def _accuracy_interval(
    row: RunRow, records: Mapping[str, RunRecord], *, is_limited: bool
) -> tuple[float, float, float] | None:
    """Return the accuracy at the best epoch and its interval; None where unknown, or of several classes per image.

    Where the accuracy is an objective, the best epoch is that of the objectives, else the one that the run monitored.
    """
    record = records.get(row["folder"])
    data = record.manifest["data"] if record and record.manifest else {}
    images = data.get("images", {}).get("val")
    of_epoch = row.get(ACCURACY, row.get(f"best/{ACCURACY}"))
    share = row.get(f"final/{ACCURACY}") if of_epoch is None else of_epoch
    if record is None or not images or share is None or not 0 <= share <= 1 or data.get("multi_label"):
        return None
    if is_limited and of_epoch is not None:
        with suppress(UserError):  # a folder without its config.yaml
            images = count_epoch_images(parse_config(record.folder)[1], {"val": images})["val"]
    return (share, *wilson_interval(share, images))


def _interval_text(found: tuple[float, float, float] | None) -> str:
    return f"{format_number(found[0])} ({found[1]:.2f} to {found[2]:.2f})" if found else "–"


def _interval_chart(intervals: Mapping[int, tuple[float, float, float]]) -> Iterator[PageImage]:
    """Draw the intervals of the best trials side by side; the table has the same numbers."""
    best = dict([*intervals.items()][:MAX_INTERVALS])
    if len(best) < 2:
        return
    shares, lows, highs = zip(*best.values(), strict=True)
    names = [f"trial {number}" for number in best]
    series = Series(label=ACCURACY, y=shares, low=lows, high=highs, names=names, draw="points", style=FIRST)
    chart = Chart(
        title=f"{ACCURACY} of the best {len(best)} trials, with 95 % intervals",
        x_axis=Axis(label="trial, by rank", labels=[str(number) for number in best]),
        y_axis=Axis(label=ACCURACY, range=(max(0.0, min(lows) - 0.02), min(1.02, max(highs) + 0.02))),
        x=[*range(len(best))],
        series=[series],
    )
    yield PageImage(b"", "Intervals that overlap widely do not tell trials apart.", charts=[chart])
