"""Make, reopen and close the folder of a sweep."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from copycat.config.added_keys import ADDED_DEFAULTS, ADDED_GROUPS
from copycat.config.dotted_keys import iterate_values
from copycat.config.durations import format_duration, parse_duration
from copycat.config.errors import UserError
from copycat.config.moved_names import former_names
from copycat.config.options import is_option
from copycat.config.places import expand_home
from copycat.config.search_space_builder import is_grid_search
from copycat.config.suggestions import one_of
from copycat.config.sweep_composition import SweepRequest
from copycat.records.digests import key_digests
from copycat.records.run_folder import SEARCH_IMAGES, SEARCH_TABLE, make_folder
from copycat.sweeps.search.objectives import get_named_metrics, get_objectives
from copycat.sweeps.sweep_file import FILE, TIME_KEY, SweepFile, check_images, read_own_sweep, write_sweep
from copycat.training.derived_settings import READ_PATHS
from copycat.training.manifest import now
from copycat.training.train import check_buildable


def start_sweep(request: SweepRequest) -> Path:
    """Check that the sweep's first trial can be built, and return the sweep's folder, as `open_sweep_folder` does.

    Raises:
        UserError: if the first trial cannot be built; then no folder is made.
    """
    check_buildable(request.first, metrics=get_named_metrics(request.settings))
    return open_sweep_folder(request)


def open_sweep_folder(request: SweepRequest) -> Path:
    """Return the sweep's folder: a new one, or the one named, if it holds this same sweep.

    Raises:
        UserError: if the folder holds another sweep, or this one with other settings.
    """
    named = request.settings["folder"]
    record = _describe_sweep(request)
    if record.sweeper == "optuna":
        from copycat.sweeps.search.study import check_sampler_and_pruner

        check_sampler_and_pruner(request.sweeper, constrained=bool(request.settings["constraints"]))
    if request.settings["prove"] and record.sweeper != "best":
        _check_can_be_raced(record)
    if named is None:
        return make_folder(Path(record.output_dir), record.experiment, write=partial(_write_first, record))
    folder = Path(named)
    if (folder / FILE).exists():
        before = read_own_sweep(folder)
        _check_files(folder)
        record = replace(record, study=record.study or before.study)
        if not request.settings["allow_changes"]:
            config_keys = _with_added_groups(_with_moved_targets(before.config_keys, request.shared), request.shared)
            if record.sweeper == before.sweeper == "best":  # its table lies in its folder, which may have been moved
                config_keys["data.file"] = record.config_keys["data.file"]
            changed_paths = _find_changed_paths(before.directory, request.shared)
            _check_same(replace(before, config_keys=config_keys), record, folder, changed_paths)
        _check_time_left(before, request.settings["max_time"], folder)
        if request.settings["prove"] and before.status in ("completed", "failed"):
            from copycat.sweeps.race.session import check_race  # which imports what other sweeps do not need

            check_race(folder, request.settings)  # before the sweep is no longer recorded as ended
        with _naming_folder(folder):
            write_sweep(folder, replace(record, id=before.id, started=before.started, seconds=before.seconds))
        return folder
    # a killed process may have left a temporary file, whose name starts with a dot
    if folder.exists() and any(
        not path.name.startswith((".", SEARCH_TABLE, SEARCH_IMAGES)) for path in folder.iterdir()
    ):
        raise UserError(f"sweep.folder: expected a sweep's folder, or one to be made; got {folder}, with other files.")
    with _naming_folder(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write_first(record, folder)
    return folder


@contextmanager
def _naming_folder(folder: Path) -> Iterator[None]:
    """Raise a UserError where a sweep's folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise UserError(f"sweep.folder: expected a folder to write to; got {folder}: {error.strerror}.") from error


def _check_can_be_raced(record: SweepFile) -> None:
    """Refuse a race that could have one candidate alone, or candidates on different images."""
    check_images(record)
    if not record.hyper_parameters:
        varies = f"one, with several values of {one_of(record.repeats)}" if record.repeats else "one"
        raise UserError(
            f"sweep.prove: expected two configurations or more; got {varies}. Type several values of another key."
        )


def _check_time_left(before: SweepFile, max_time: Any, folder: Path) -> None:
    """Refuse to resume a sweep whose time is over."""
    if max_time is None or before.status in ("completed", "failed") or parse_duration(max_time) > before.seconds:
        return
    raise UserError(
        f"{TIME_KEY}: expected more than the {before.seconds:.1f}s that the sweep took; got"
        f" {format_duration(max_time)}. Type copycat resume {quote(str(folder))} {TIME_KEY}=MORE, in all, or null."
    )


def _write_first(record: SweepFile, folder: Path) -> None:
    if record.sweeper == "optuna":
        record = replace(record, study=record.study or folder.resolve().name.removeprefix("."))
    write_sweep(folder, record)


def _check_files(folder: Path) -> None:
    """Refuse links, pipes and devices beside sweep.json: its signature does not cover them, and trials write there."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                raise UserError(
                    f"{entry.path}: expected a plain file or folder; got a link, pipe or device. Remove it."
                )


def _describe_sweep(request: SweepRequest) -> SweepFile:
    sweeper, settings, axes = request.sweeper, request.settings, request.space.axes
    # a resumed sweep may have another output_dir
    shared = {name: value for name, value in request.shared.items() if name != "output_dir"}
    space = {name: axis.words for name, axis in axes.items()}
    space |= {f"sweep.{key}": repr(settings[key]) for key in ("zip", "when") if settings[key]}
    searches = "sampler" in sweeper
    if searches:
        space |= {f"hydra.sweeper.{key}": repr(sweeper[key]) for key in ("sampler", "pruner", "seed", "storage")}
        space["sweep.constraints"] = repr(settings["constraints"])
    most = sweeper["n_trials"] if searches else sys.maxsize
    trials = min(most, len(request.space.grid())) if not searches or is_grid_search(sweeper) else most
    return SweepFile(
        id=secrets.token_hex(8),
        status="running",
        error=None,
        started=now(),
        ended=None,
        experiment="sweep" if request.first.experiment == "default" else request.first.experiment,
        words=[word for word in request.words if not word.startswith(("sweep.folder=", "sweep.allow_changes="))],
        output_dir=str(request.shared["output_dir"]),
        sweeper="optuna" if searches else "best" if "candidates" in sweeper else "grid",
        trials=trials,
        objectives=get_objectives(settings),
        varies=list(axes),
        config_keys=key_digests(shared),
        space=space,
        study=sweeper.get("study_name"),
        directory=str(Path.cwd()),
    )


def _find_changed_paths(directory: str | None, shared: Mapping[str, Any]) -> list[str]:
    """Return the keys of relative paths that mean other files here than in the directory that the sweep began in."""
    if directory is None or not os.path.isdir(directory):  # it was moved with its sweep, or not recorded
        return []
    keys = []
    for group, name in READ_PATHS:
        path = (shared.get(group) or {}).get(name)
        if not isinstance(path, str) or "://" in path or (expanded := expand_home(path)).is_absolute():
            continue
        if os.path.realpath(Path(directory, expanded)) != os.path.realpath(expanded):
            keys.append(f"{group}.{name}, which is relative to {directory}")
    return keys


def _check_same(before: SweepFile, record: SweepFile, folder: Path, changed_paths: Sequence[str]) -> None:
    """Check that space, sweeper, objectives and shared configuration are those of the recorded trials."""
    fields = {"hydra/sweeper": "sweeper", "sweep.objective": "objectives", "hydra.sweeper.study_name": "study"}
    changed = [key for key, name in fields.items() if getattr(before, name) != getattr(record, name)]
    changed += _changed_keys(before.space, record.space) + _changed_keys(before.config_keys, record.config_keys)
    changed += changed_paths
    if changed:
        raise UserError(
            f"sweep.folder: expected the sweep that began in {folder}; changed since: {one_of(changed)}."
            " To resume anyway, type sweep.allow_changes=true."
        )


def _with_moved_targets(digests: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return recorded hashes of values, with the present hashes of targets that were moved since."""
    moved = {
        key: key_digests({key: target})[key]
        for key, target in iterate_values(config)
        for former in (former_names(target) if key.endswith("_target_") else ())
        if key_digests({key: former})[key] == digests.get(key)
    }
    return {**digests, **moved}


def _with_added_groups(digests: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return recorded hashes of values, with those of groups and keys added since, where they have the default."""
    nodes = {name: config[name] for name in ADDED_GROUPS}
    added = {name: node for name, node in nodes.items() if not node or is_option(node.get("_target_"), name, "default")}
    present = dict(iterate_values(config))
    defaults = {key: value for key, value in ADDED_DEFAULTS.items() if key in present and present[key] == value}
    return {**key_digests({**added, **defaults}), **digests}


def _changed_keys(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys([*after, *before]) if after.get(name) != before.get(name)]


def record_end(folder: Path, *, status: str, seconds: float, error: str | None = None) -> None:
    """Write the final status of a sweep, and the seconds that it took, to sweep.json."""
    sweep = replace(read_own_sweep(folder), status=status, error=error, ended=now(), seconds=round(seconds, 3))
    write_sweep(folder, sweep)


def record_seconds(folder: Path, seconds: float) -> None:
    """Write the seconds that a running sweep took, for the case that it is killed."""
    write_sweep(folder, replace(read_own_sweep(folder), seconds=round(seconds, 3)))
