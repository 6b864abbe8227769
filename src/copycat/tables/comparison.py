"""Compare runs side by side: differing configuration keys, and metrics. Nothing is built from them."""

import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from copycat.config.errors import UserError
from copycat.config.moved_names import with_current_names
from copycat.config.printable import csv_text, print_line, printable
from copycat.config.renamed_keys import with_current_keys
from copycat.records.config_keys import values
from copycat.records.reader import check_files, not_a_run, read_config
from copycat.records.run_folder import CONFIG
from copycat.records.safe_parsers import read_yaml
from copycat.tables.render import Column, csv_cell, print_table, value_cell, wide_console, write_json
from copycat.tables.run_reader import RunRecord, read_record
from copycat.tables.run_row import RunRow, make_row
from copycat.tables.statistics import (
    describe_mcnemar,
    direction_sign,
    format_number,
    natural_direction,
    wilson_interval,
)

RUN_FIELDS = ("status", "error", "epochs", "parameters", "seconds")


@dataclass(frozen=True)
class ComparisonLine:
    """Hold one value of each run that has it, by the run's title."""

    kind: Literal["run", "config", "metric"]
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class RunComparison:
    """Hold several runs, by unique titles."""

    folders: Mapping[str, Path]
    configs: Mapping[str, Mapping[str, Any]]
    """Configurations by dotted key; a trial that failed before it had one is left out."""
    rows: Mapping[str, RunRow]
    manifests: Mapping[str, Mapping[str, Any]]
    """Manifests of the runs that have one."""

    def keys(self, *, equal: bool) -> list[str]:
        """Return the configuration keys in their order: those that differ, or all."""
        names = dict.fromkeys(name for config in self.configs.values() for name in config)
        return [name for name in names if equal or self._differs(name)]

    def _differs(self, name: str) -> bool:
        return len({repr(config[name]) if name in config else "" for config in self.configs.values()}) > 1

    def lines(self, *, equal: bool) -> list[ComparisonLine]:
        """Return the lines of status, configuration, final metrics, and metrics of the best epoch."""
        names = dict.fromkeys(name for row in self.rows.values() for name in row)
        metrics = [name for kind in ("final/", "best/") for name in names if name.startswith(kind)]
        return [
            *(ComparisonLine("run", name, _select(name, self.rows)) for name in RUN_FIELDS),
            *(ComparisonLine("config", name, _select(name, self.configs)) for name in self.keys(equal=equal)),
            *(ComparisonLine("metric", name, _select(name, self.rows)) for name in metrics),
        ]


def _select(name: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {title: row[name] for title, row in rows.items() if name in row}


def read_comparison(folders: Sequence[Path], *, records: Mapping[Path, RunRecord] = {}) -> RunComparison:
    """Read two or more runs.

    Args:
        folders: of the runs.
        records: of the runs that were read already, by folder.

    Raises:
        UserError: where one is no run, or its files are damaged.
    """
    if len(folders) < 2:
        raise UserError(f"compare: expected two runs or more; got {len(folders)}. See them: copycat runs.")
    folders_by_title = unique_titles(folders)
    configs: dict[str, Mapping[str, Any]] = {}
    rows: dict[str, RunRow] = {}
    manifests: dict[str, Mapping[str, Any]] = {}
    for title, folder in folders_by_title.items():
        try:
            if folder.is_dir():
                check_files(folder)
            record = records.get(folder) or read_record(folder)
            if record.manifest is not None:
                config = with_current_names(with_current_keys(read_yaml(read_config(folder))))
                if not isinstance(config, Mapping):
                    raise ValueError(f"{CONFIG} has no keys")
                configs[title] = dict(values(config))
                manifests[title] = record.manifest
        except (OSError, ValueError) as error:
            raise not_a_run(folder, error) from error
        rows[title] = make_row(record, folder)
    return RunComparison(folders_by_title, configs, rows, manifests)


def print_comparison(compared: RunComparison, *, equal: bool) -> None:
    """Print a table to standard output, with a `*` at the best of each metric.

    Args:
        compared: the runs.
        equal: whether keys that are equal everywhere are shown too.
    """
    lines = [line for line in compared.lines(equal=equal) if line.kind != "run" or _has_value(line)]
    titles: list[Column] = [("", value_cell(""))]
    titles += [(printable(title), value_cell(title)) for title in compared.folders]
    print_table(wide_console(), titles, [{"": line.name, **format_cells(line)} for line in lines])
    if not compared.keys(equal=False):
        print_line("the configurations are the same")
    for sentence in describe_uncertainty(compared):
        print_line(sentence)


def describe_uncertainty(compared: RunComparison) -> Iterator[str]:
    """Yield the confidence interval of each validation accuracy, and McNemar's test of two runs on the same images."""
    intervals = []
    for name, row in compared.rows.items():
        images = (compared.manifests.get(name) or {}).get("data", {}).get("images", {}).get("val")
        share = row.get("final/val/accuracy")
        if images and share is not None and 0 <= share <= 1:
            low, high = wilson_interval(share, images)
            intervals.append(f"{printable(name)} {format_number(share)}, {low:.2f} to {high:.2f} of {images}")
    if intervals:
        yield f"95 % of val/accuracy, by Wilson's score: {'; '.join(intervals)}"
    if len(compared.folders) == 2 and (pair := _count_discordant(compared)):
        (a, b), (one, other) = compared.folders, pair
        yield describe_mcnemar(printable(a), printable(b), one, other)


def _count_discordant(compared: RunComparison) -> tuple[int, int] | None:
    """Count the validation images that only one of two runs gets right; None unless both have the same images."""
    from copycat.records.predictions import read_predictions  # imports NumPy, which nothing else here needs

    parts = []
    for name, folder in compared.folders.items():
        manifest = compared.manifests.get(name) or {}
        try:
            predicted = read_predictions(folder, classes=len(manifest["data"]["classes"]))["val"]
            parts.append((manifest["provenance"]["data"]["val"], manifest["data"]["classes"], predicted))
        except (OSError, ValueError, KeyError, TypeError):
            return None
    (data, classes, one), (other_data, other_classes, other) = parts
    if (data, classes) != (other_data, other_classes) or len(one.label) != len(other.label):
        return None
    return int((one.is_correct & ~other.is_correct).sum()), int((other.is_correct & ~one.is_correct).sum())


def write_comparison(compared: RunComparison, *, equal: bool, form: Literal["csv", "json"]) -> None:
    """Write the lines unabridged to standard output."""
    lines = compared.lines(equal=equal)
    if form == "json":
        folders = {title: str(folder) for title, folder in compared.folders.items()}
        write_json({"runs": folders, "rows": [asdict(line) for line in lines]})
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["kind", "name", *map(csv_text, compared.folders)])
    for line in lines:
        writer.writerow(
            [line.kind, csv_text(line.name), *(csv_cell(line.values.get(title)) for title in compared.folders)]
        )


def _has_value(line: ComparisonLine) -> bool:
    return any(value is not None for value in line.values.values())


def format_cells(line: ComparisonLine) -> dict[str, str]:
    """Format a line's values by title, marking the best metric where they differ."""
    if line.kind == "config":
        return {title: printable(value) for title, value in line.values.items()}
    present = {title: value for title, value in line.values.items() if value is not None}
    metric = line.name.partition("/")[2]
    if line.kind == "run" or metric == "epoch":
        return {title: value if isinstance(value, str) else format_number(value) for title, value in present.items()}
    best = min(present.values(), key=lambda value: direction_sign(natural_direction(metric)) * value)
    several = len(set(present.values())) > 1
    return {
        title: format_number(value) + (" *" if several and value == best else "  ") for title, value in present.items()
    }


def unique_titles(folders: Sequence[Path]) -> dict[str, Path]:
    """Return each folder by its path below the common parent.

    Raises:
        UserError: where a folder is given twice.
    """
    absolute = [os.path.abspath(folder) for folder in folders]
    common = os.path.commonpath(absolute)
    by_title = {os.path.relpath(path, common): folder for path, folder in zip(absolute, folders, strict=True)}
    if len(by_title) < len(folders):
        raise UserError("expected runs that differ; got one of them twice.")
    return by_title
