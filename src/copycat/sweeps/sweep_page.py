"""Make the HTML page of a sweep: its ranking, plots and request."""

import shlex
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from copycat.config.dotted_keys import short_names
from copycat.config.suggestions import format_value, pluralize
from copycat.inspection.reports.contents import Fact, Section, Table
from copycat.inspection.reports.page import Page
from copycat.inspection.reports.verdict import format_time, make_facts, make_verdict
from copycat.records.lock import RUNNING
from copycat.sweeps.plots.results import make_results
from copycat.sweeps.race.page import make_race_fact, make_race_section
from copycat.sweeps.race.record import read_race
from copycat.sweeps.ranking import make_ranking_sections
from copycat.sweeps.report_plots import make_plot_sections
from copycat.sweeps.summary import group_configurations, is_done
from copycat.sweeps.sweep_file import SweepFile, has_race, read_sweep
from copycat.sweeps.table import rank_rows, summarize_sweep
from copycat.tables.run_reader import RunRecord
from copycat.tables.run_row import RunRow
from copycat.tables.run_table import make_rows, read_run_records, rerun_command
from copycat.tables.statistics import format_number


def make_sweep_page(folder: Path) -> Page:
    """Make the page of a sweep from its folder alone.

    Raises:
        UserError: if sweep.json cannot be read.
    """
    sweep, records = read_sweep(folder), read_run_records(folder)
    rows = rank_rows(make_rows(records, folder, objectives=sweep.objectives), sweep)
    race = read_race(folder) if has_race(folder) else None
    by_folder = {str(record.folder): record for record in records}
    sections = [
        *([make_race_section(race, folder)] if race else []),
        *make_ranking_sections(sweep, rows, by_folder),
        *make_plot_sections(make_results(folder, sweep, records), rows),
        _request(sweep),
        *_next(folder, sweep, rows),
    ]
    manifest = _find_first_manifest(rows, by_folder)
    facts = [*_facts(sweep, rows, manifest)]
    if race is not None:
        facts.insert(1, make_race_fact(race))
    times = f"started {format_time(sweep.started)}" + (f"; ended {format_time(sweep.ended)}" if sweep.ended else "")
    summary = [make_verdict(facts), f"{folder}: {summarize_sweep(sweep, rows)}; {times}"]
    return Page(_title(sweep, manifest), "\n".join(summary), sections, facts)


def _find_first_manifest(rows: Sequence[RunRow], records: Mapping[str, RunRecord]) -> Mapping[str, Any] | None:
    """Return the manifest of the best trial that has one."""
    found = ((row, records[str(row["folder"])].manifest) for row in rows)
    manifests = ({"trial": row["trial"], "folder": row["folder"], **one} for row, one in found if one is not None)
    return next(manifests, None)


def _title(sweep: SweepFile, manifest: Mapping[str, Any] | None) -> str:
    """Return experiment, search space and data, such as `lecture: sweep of lr and hidden on Cats`."""
    keys = [*short_names(sweep.varies).values()]
    listed = f"{', '.join(keys[:-1])} and {keys[-1]}" if len(keys) > 1 else "".join(keys)
    source = (manifest or {}).get("data", {}).get("source")
    data = f" on {str(source).rpartition('.')[2]}" if source else ""
    prefix = "Sweep" if sweep.experiment in ("default", "sweep") else f"{sweep.experiment}: sweep"
    return f"{prefix} of {listed}{data}" if listed else f"{prefix}{data}"


def _facts(sweep: SweepFile, rows: Sequence[RunRow], manifest: Mapping[str, Any] | None) -> Iterator[Fact]:
    """Yield the number of trials, the best one, and what judges it as a run."""
    counts = Counter(row["status"] for row in rows)
    done, note = f"{counts['completed']} of {sweep.trials}", ", ".join(f"{n} {status}" for status, n in counts.items())
    phrase = f"{counts['completed']} of {pluralize(sweep.trials, 'trial')} completed"
    yield Fact("Completed trials", done, phrase, note, "warn" if counts["failed"] else "")
    best = next((row for row in rows if is_done(row, sweep.objectives)), None)
    if best is None:
        return
    name = next(iter(sweep.objectives))
    value, trial = format_number(best[name]), f"trial {best['trial']}"
    trials = pluralize(counts["completed"], "trial")
    note = f"{trial}; selected from {trials} by this metric, so it is optimistic"
    yield Fact(f"Best {name}", value, f"best {name} {value} by {trial}", note)
    if manifest and manifest["trial"] == best["trial"]:
        first, *others = make_facts(manifest, Path(manifest["folder"]))  # the table has figures of the best epoch
        phrase = f"its final weights: {first.phrase}"
        yield from (replace(first, title=f"{first.title} (final weights)", phrase=phrase), *others)


def _request(sweep: SweepFile) -> Section:
    rows = [[name, _format_setting(space)] for name, space in sweep.space.items()]
    words = shlex.join(["copycat", "train", "-m", *sweep.words])
    return Section(title="Configuration", table=Table(rows, ["", "values"]) if rows else None, code=words)


def _format_setting(text: str) -> str:
    """Format a recorded setting of the sweeper, which is a Python literal, as a user types it."""
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        value = literal_eval(text)
        if value is None or isinstance(value, bool | list | dict):
            return format_value(value)
    return text


def _next(folder: Path, sweep: SweepFile, rows: Sequence[RunRow]) -> Iterator[Section]:
    summed = group_configurations(rows, sweep)
    done = summed[0].trials if summed else [row for row in rows if is_done(row, sweep.objectives)]
    if done:
        note = (
            f"Of the configuration with the best mean over {' and '.join(sweep.repeats)}."
            if sweep.repeats and sweep.hyper_parameters
            else ""
        )
        yield Section(title="Reproduce the best trial", note=note, code=rerun_command(done[0]))
    if sweep.status not in ("completed", "failed", RUNNING):
        yield Section(title="Resume", code=f"copycat resume {shlex.quote(str(folder))}")
