"""Train a run, from its request to its folder."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from copycat.config.atomic_write import write_whole
from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.worlds import fill_world, needs_launch
from copycat.data.datamodule import DataModule
from copycat.provenance.code import uncommitted_patch
from copycat.provenance.diagnosis import PATCH
from copycat.records.image_index import FILE as IMAGES
from copycat.records.lock import FILE as LOCK
from copycat.records.lock import locked
from copycat.records.run_folder import (
    CONFIG,
    make_folder,
    remove_empty_folders,
    set_aside,
    undo_on_error,
    write_manifest,
)
from copycat.records.trial_file import FILE as TRIAL
from copycat.records.yaml_text import to_yaml
from copycat.training.components import build_components
from copycat.training.joined import choose_threads, log_name, share_result, share_work
from copycat.training.launch import launch, name_folder
from copycat.training.manifest import make_manifest
from copycat.training.process_state import LOG, isolated, logged
from copycat.training.ranks import Ranks, make_ranks
from copycat.training.result import RunResult
from copycat.training.session import TrainingSession
from copycat.training.signals import SignalHandler
from copycat.training.standard_streams import tolerating_lost_output
from copycat.training.stopping import Limits

__all__ = ["RunResult", "check_buildable", "train"]
FILES_BEFORE_START = (TRIAL, CONFIG, IMAGES, PATCH, LOG)
"""Files that a trial's folder may have before its run.json: a new run overwrites them, or appends to the log."""


def train(
    request: Request,
    *,
    folder: Path | None = None,
    extra_loggers: Sequence[Logger] = (),
    copy_of: Mapping[str, Any] | None = None,
    data: DataModule | None = None,
    limits: Limits = Limits(),  # noqa: B008, it is frozen
) -> RunResult:
    """Run a request. A run that fails has status and error in its result, and the traceback in train.log.

    Args:
        request: request for the run.
        folder: folder of a trial, made by its sweep; None makes a new one under `output_dir`.
        extra_loggers: loggers beside those of the configuration, such as one that prints.
        copy_of: reference to the run that this one repeats, for the manifest.
        data: data of the request, where they are built already.
        limits: conditions that end the run early.

    Raises:
        UserError: where the request cannot work; then no new folder is left.
        LockedError: where another process has the folder; then nothing in it is touched.
    """
    request = replace(request, config={**request.config, "trainer": fill_world(request.config["trainer"])})
    settings: dict[str, Any] = {
        "folder": folder,
        "extra_loggers": extra_loggers,
        "copy_of": copy_of,
        "data": data,
        "limits": limits,
    }
    if needs_launch(request.config["trainer"]):
        return launch(partial(train, request, **settings), request.config["trainer"])
    ranks = make_ranks(request.config["trainer"])
    with ranks.joined():
        return _train_on_rank(ranks, request, **settings)


def _train_on_rank(
    ranks: Ranks,
    request: Request,
    *,
    folder: Path | None,
    extra_loggers: Sequence[Logger],
    copy_of: Mapping[str, Any] | None,
    data: DataModule | None,
    limits: Limits,
) -> RunResult:
    """Train as one of the ranks, of which the first makes and locks the run folder."""
    root, signals = Path(request.config["output_dir"]), SignalHandler()
    threads = choose_threads(request.config["trainer"], ranks)
    with isolated(threads=threads), tolerating_lost_output(), signals.listening():
        with ranks.together():
            components = build_components(request.config, data=data, metrics=limits.metrics)
        share_work(components, ranks)
        request = replace(request, config=fill_threads(components.config))

        text = config_content(request.config)

        def prepare() -> tuple[str, dict[str, Any]]:
            """Make the run folder, unless the run has one, and return its path and the manifest."""
            network = components.classifier.network
            manifest = make_manifest(request, components.data, config=text, network=network, copy_of=copy_of)
            write = partial(_write_first_files, request, manifest)
            return str(folder or make_folder(root, request.experiment, write=write)), manifest

        name, manifest = ranks.from_first(prepare)
        run_folder = Path(name)
        name_folder(run_folder, ranks)
        try:
            with ExitStack() as held:
                with ranks.together():
                    if ranks.is_first:
                        run_folder.mkdir(parents=True, exist_ok=True)
                        held.enter_context(locked(run_folder))
                        if folder is not None:
                            set_aside_earlier_run(folder)
                held.enter_context(logged(run_folder / log_name(ranks)))
                keep = (LOCK,) if folder is None else {*os.listdir(folder), LOCK}
                undone = undo_on_error(run_folder, keep=keep) if ranks.is_first else nullcontext()
                with ranks.together(), undone:
                    session = TrainingSession(
                        request.config,
                        components,
                        run_folder,
                        signals=signals,
                        manifest=manifest,
                        extra_loggers=extra_loggers,
                        limits=limits,
                        ranks=ranks,
                    )
                    session.recorder.open(None if folder is None else partial(_write_first_files, request, manifest))
                return share_result(session.run(), ranks)
        except (UserError, OSError) as error:
            if folder is None and ranks.is_first:
                remove_empty_folders(run_folder, root)
            if isinstance(error, UserError):
                raise
            # only the first files raise here: later write errors are recorded in the run's status
            expected = f"output_dir: expected a folder to write to; got {root}:"
            if folder is not None:
                expected = f"{folder}: expected a folder to write to;"
            raise UserError(f"{expected} {error.strerror}.") from error


def check_buildable(request: Request, *, metrics: Mapping[str, Sequence[str]] = {}) -> None:
    """Build the components of a run and discard them, as a check; the process is as before.

    `metrics` has the names of further metrics that the run must have, by the keys that name them.

    Raises:
        UserError: where the request cannot work.
    """
    config = {**request.config, "trainer": fill_world(request.config["trainer"])}
    with isolated(threads=None):
        build_components(config, metrics=metrics)


def config_content(config: Mapping[str, Any]) -> bytes:
    """Return the content of config.yaml."""
    return to_yaml(config).encode()


def _write_first_files(request: Request, manifest: Mapping[str, Any], folder: Path) -> None:
    changes = uncommitted_patch(request.config)
    write_request(folder, config=config_content(request.config), manifest=manifest, changes=changes)


def write_request(folder: Path, *, config: bytes, manifest: Mapping[str, Any], changes: bytes | None) -> None:
    """Write configuration, uncommitted changes of the code, and manifest.

    A run can be resumed from these, so they are written before anything else.
    """
    write_whole(folder / CONFIG, config)
    if changes:
        write_whole(folder / PATCH, changes)
    write_manifest(folder, manifest)


def set_aside_earlier_run(folder: Path) -> None:
    """Set aside the files of another run in a trial's locked folder, which a new run would append to."""
    if any(not (name.startswith(".") or name in FILES_BEFORE_START) for name in os.listdir(folder)):
        aside = set_aside(folder, keep=(TRIAL,))
        print_line(f"copycat: {folder}: its run starts again; the earlier files are in {aside} now", error=True)


def fill_threads(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration with the number of threads, which changes bits, filled in."""
    trainer = config["trainer"]
    return {**config, "trainer": {**trainer, "threads": trainer.get("threads") or torch.get_num_threads()}}
