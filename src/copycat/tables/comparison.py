"""Runs side by side: the keys of their configurations that differ, and their metrics. Nothing is built from them."""

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
from copycat.tables.render import Column, csv_cell, given, print_table, wide_console, write_json
from copycat.tables.run_reader import read_row
from copycat.tables.run_row import Facts, facts
from copycat.tables.statistics import figure, natural, sign, told_apart, wilson

SAID = ("status", "error", "epochs", "parameters", "seconds")


@dataclass(frozen=True)
class Line:
    """A fact of each run that has it, by the run's title."""

    kind: Literal["run", "config", "metric"]
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    """Runs, by titles that tell them apart."""

    folders: Mapping[str, Path]
    configs: Mapping[str, Mapping[str, Any]]
    """By dotted keys; a trial that failed before it had a configuration is left out."""
    found: Mapping[str, Facts]
    manifests: Mapping[str, Mapping[str, Any]]
    """Of those that have one."""

    def keys(self, *, equal: bool) -> list[str]:
        """Of the configurations, in their order: those that differ, or all."""
        names = dict.fromkeys(name for config in self.configs.values() for name in config)
        return [name for name in names if equal or self._differs(name)]

    def _differs(self, name: str) -> bool:
        return len({repr(config[name]) if name in config else "" for config in self.configs.values()}) > 1

    def lines(self, *, equal: bool) -> list[Line]:
        """What each run came to, its configuration, metrics of the final weights, and of the best epoch."""
        names = dict.fromkeys(name for row in self.found.values() for name in row)
        metrics = [name for kind in ("final/", "best/") for name in names if name.startswith(kind)]
        return [
            *(Line("run", name, _of(name, self.found)) for name in SAID),
            *(Line("config", name, _of(name, self.configs)) for name in self.keys(equal=equal)),
            *(Line("metric", name, _of(name, self.found)) for name in metrics),
        ]


def _of(name: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {title: row[name] for title, row in rows.items() if name in row}


def read_compared(folders: Sequence[Path]) -> Compared:
    """Read what two or more runs say.

    Raises:
        UserError: where one is no run, or its files are not what they should be.
    """
    if len(folders) < 2:
        raise UserError(f"compare: expected two runs or more; got {len(folders)}. See them: copycat runs.")
    named = titles(folders)
    configs: dict[str, Mapping[str, Any]] = {}
    found: dict[str, Facts] = {}
    manifests: dict[str, Mapping[str, Any]] = {}
    for title, folder in named.items():
        try:
            if folder.is_dir():
                check_files(folder)
            row = read_row(folder)
            if row.manifest is not None:
                config = with_current_names(with_current_keys(read_yaml(read_config(folder))))
                if not isinstance(config, Mapping):
                    raise ValueError(f"{CONFIG} has no keys")
                configs[title] = dict(values(config))
                manifests[title] = row.manifest
        except (OSError, ValueError) as error:
            raise not_a_run(folder, error) from error
        found[title] = facts(row, folder)
    return Compared(named, configs, found, manifests)


def print_compared(compared: Compared, *, equal: bool) -> None:
    """Print a table to standard output, with a `*` at the best of each metric.

    Args:
        equal: whether keys that are the same everywhere are shown too.
    """
    lines = [line for line in compared.lines(equal=equal) if line.kind != "run" or _is_said(line)]
    titles: list[Column] = [("", given(""))]
    titles += [(printable(title), given(title)) for title in compared.folders]
    print_table(wide_console(), titles, [{"": line.name, **cells(line)} for line in lines])
    if not compared.keys(equal=False):
        print_line("the configurations are the same")
    for said in how_sure(compared):
        print_line(said)


def how_sure(compared: Compared) -> Iterator[str]:
    """How far accuracies on validation may be chance; of two runs on the same images, whether they differ."""
    said = []
    for name, row in compared.found.items():
        images = (compared.manifests.get(name) or {}).get("data", {}).get("images", {}).get("val")
        share = row.get("final/val/accuracy")
        if images and share is not None and 0 <= share <= 1:
            low, high = wilson(share, images)
            said.append(f"{printable(name)} {figure(share)}, {low:.2f} to {high:.2f} of {images}")
    if said:
        yield f"95 % of val/accuracy, by Wilson's score: {'; '.join(said)}"
    if len(compared.folders) == 2 and (pair := _paired(compared)):
        (a, b), (one, other) = compared.folders, pair
        yield told_apart(printable(a), printable(b), one, other)


def _paired(compared: Compared) -> tuple[int, int] | None:
    """How many validation images each of two runs alone gets right, where they were validated on the same."""
    from copycat.records.predictions import read_predictions  # NumPy is not needed for less

    found = []
    for name, folder in compared.folders.items():
        manifest = compared.manifests.get(name) or {}
        try:
            predicted = read_predictions(folder, classes=len(manifest["data"]["classes"]))["val"]
            found.append((manifest["provenance"]["data"]["val"], manifest["data"]["classes"], predicted))
        except (OSError, ValueError, KeyError, TypeError):
            return None
    (data, classes, one), (other_data, other_classes, other) = found
    if (data, classes) != (other_data, other_classes) or len(one.label) != len(other.label):
        return None
    return int((one.is_correct & ~other.is_correct).sum()), int((other.is_correct & ~one.is_correct).sum())


def write_compared(compared: Compared, *, equal: bool, form: Literal["csv", "json"]) -> None:
    """Write the same in full to standard output."""
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


def _is_said(line: Line) -> bool:
    return any(value is not None for value in line.values.values())


def cells(line: Line) -> dict[str, str]:
    """Words to show, the best figure marked where not all are the same."""
    if line.kind == "config":
        return {title: printable(value) for title, value in line.values.items()}
    there = {title: value for title, value in line.values.items() if value is not None}
    metric = line.name.partition("/")[2]
    if line.kind == "run" or metric == "epoch":
        return {title: value if isinstance(value, str) else figure(value) for title, value in there.items()}
    best = min(there.values(), key=lambda value: sign(natural(metric)) * value)
    several = len(set(there.values())) > 1
    return {title: figure(value) + (" *" if several and value == best else "  ") for title, value in there.items()}


def titles(folders: Sequence[Path]) -> dict[str, Path]:
    """Each folder by its path below what all have in common.

    Raises:
        UserError: where one is there twice.
    """
    whole = [os.path.abspath(folder) for folder in folders]
    common = os.path.commonpath(whole)
    found = {os.path.relpath(path, common): folder for path, folder in zip(whole, folders, strict=True)}
    if len(found) < len(folders):
        raise UserError("expected runs that differ; got one of them twice.")
    return found
