"""Compare runs side by side: differing configuration keys, and metrics. Nothing is built from them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from copycat.config.added_keys import ADDED_DEFAULTS
from copycat.config.dotted_keys import iterate_values
from copycat.config.errors import UserError
from copycat.config.metric_names import Nodes, stated_directions
from copycat.config.moved_names import with_current_names
from copycat.config.renamed_keys import with_current_keys
from copycat.records.reader import check_files, check_run_folder, parse_config
from copycat.records.trial_file import FILE as TRIAL
from copycat.tables.run_reader import RunRecord, read_record
from copycat.tables.run_row import RunRow, make_row

RUN_FIELDS = ("status", "error", "epochs", "parameters", "seconds")


@dataclass(frozen=True)
class ComparisonLine:
    """Hold one value of each run that has it, by the run's title."""

    kind: Literal["run", "config", "metric"]
    name: str
    values: Mapping[str, Any]
    comparable: bool = True
    """Whether all runs measured it on the same images, with the same classes in the same order."""


@dataclass(frozen=True)
class RunComparison:
    """Hold several runs, by unique titles."""

    folders: Mapping[str, Path]
    configs: Mapping[str, Mapping[str, Any]]
    """Configurations by dotted key; a trial that failed before it had one is left out."""
    rows: Mapping[str, RunRow]
    manifests: Mapping[str, Mapping[str, Any]]
    """Manifests of the runs that have one."""

    @property
    def metric_nodes(self) -> Nodes:
        """Return the directions of the metrics that the group `metrics` of any run measures."""
        return stated_directions(self.configs.values())

    def keys(self, *, equal: bool) -> list[str]:
        """Return the configuration keys in their order: those that differ, or all."""
        names = dict.fromkeys(name for config in self.configs.values() for name in config)
        return [name for name in names if equal or self._differs(name)]

    def _differs(self, name: str) -> bool:
        return len({repr(config.get(name, ADDED_DEFAULTS.get(name, "–"))) for config in self.configs.values()}) > 1

    def lines(self, *, equal: bool) -> list[ComparisonLine]:
        """Return the lines of status, configuration, final metrics, and metrics of the best epoch."""
        names = dict.fromkeys(name for row in self.rows.values() for name in row)
        metrics = [name for kind in ("final/", "best/") for name in names if name.startswith(kind)]
        return [
            *(ComparisonLine("run", name, _select(name, self.rows)) for name in RUN_FIELDS),
            *(ComparisonLine("config", name, _select(name, self.configs)) for name in self.keys(equal=equal)),
            *(ComparisonLine("metric", name, _select(name, self.rows), self._comparable(name)) for name in metrics),
        ]

    def _comparable(self, metric: str) -> bool:
        part = metric.split("/")[1]
        measured_on = [
            (manifest.get("provenance", {}).get("data", {}).get(part), manifest.get("data", {}).get("classes"))
            for manifest in self.manifests.values()
        ]
        return all(images == measured_on[0] for images in measured_on)


def _select(name: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {title: row[name] for title, row in rows.items() if name in row}


def read_comparison(folders: Sequence[Path], *, records: Mapping[Path, RunRecord] = {}) -> RunComparison:
    """Read two or more runs; `records` holds those that were read already.

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
        (check_files if (folder / TRIAL).exists() else check_run_folder)(folder)
        record = records.get(folder) or read_record(folder)
        if record.manifest is not None:
            configs[title] = dict(iterate_values(with_current_names(with_current_keys(parse_config(folder)[1]))))
            manifests[title] = record.manifest
        rows[title] = make_row(record, folder)
    return RunComparison(folders_by_title, configs, rows, manifests)


def unique_titles(folders: Sequence[Path]) -> dict[str, Path]:
    """Return each folder by its path below the common parent; raise a UserError where a folder is given twice."""
    if len({os.path.realpath(folder) for folder in folders}) < len(folders):
        raise UserError("expected runs that differ; got one of them twice.")
    absolute = [os.path.abspath(folder) for folder in folders]
    common = os.path.commonpath(absolute)
    return {os.path.relpath(path, common): folder for path, folder in zip(absolute, folders, strict=True)}
