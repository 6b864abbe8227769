"""Train a run, from its request to its folder."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.printable import print_line
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
    write_whole,
)
from copycat.records.trial_file import FILE as TRIAL
from copycat.records.yaml_text import to_yaml
from copycat.training.factory import build_parts
from copycat.training.manifest import opening
from copycat.training.process_state import LOG, isolated, logged
from copycat.training.result import Outcome
from copycat.training.session import Run
from copycat.training.signals import Stop
from copycat.training.standard_streams import tolerating_lost_output
from copycat.training.stopping import Limits

__all__ = ["Outcome", "train", "try_out"]
UNTRAINED = (TRIAL, CONFIG, IMAGES, PATCH, LOG)
"""Files that a trial's folder may have before its run.json: a new run overwrites them, or appends to the log."""


def train(
    request: Request,
    *,
    folder: Path | None = None,
    watchers: Sequence[Logger] = (),
    copy_of: Mapping[str, Any] | None = None,
    data: DataModule | None = None,
    limits: Limits = Limits(),  # noqa: B008, it is frozen
) -> Outcome:
    """Run a request. A run that fails has status and error in its result, and the traceback in train.log.

    Args:
        request: request for the run.
        folder: folder of a trial, made by its sweep; None makes a new one under `output_dir`.
        watchers: loggers beside those of the configuration, such as one that prints.
        copy_of: reference to the run that this one repeats, for the manifest.
        data: data of the request, where they are built already.
        limits: conditions that end the run early.

    Raises:
        UserError: where the request cannot work; then no new folder is left.
        LockedError: where another process has the folder; then nothing in it is touched.
    """
    root, stop = Path(request.config["output_dir"]), Stop()
    threads = request.config["trainer"].get("threads")
    with isolated(threads=threads), tolerating_lost_output(), stop.listening():
        parts = build_parts(request.config, data=data, metrics=limits.metrics)
        request = replace(request, config=with_threads(parts.config))
        text, changes = as_text(request.config), uncommitted_patch(request.config)
        network = parts.classifier.network
        manifest = opening(request, parts.data, config=text, network=network, copy_of=copy_of)
        first = partial(write_asked, config=text, manifest=manifest, changes=changes)
        made = make_folder(root, request.experiment, write=first) if folder is None else folder
        try:
            made.mkdir(parents=True, exist_ok=True)
            with locked(made):
                if folder is not None:
                    start_clean(folder)
                with logged(made / LOG):
                    with undo_on_error(made, keep=(LOCK,) if folder is None else {*os.listdir(folder), LOCK}):
                        run = Run(
                            request.config, parts, made, stop=stop, manifest=manifest, watchers=watchers, limits=limits
                        )
                        run.recorder.open(None if folder is None else first)
                    return run.go()
        except (UserError, OSError) as error:
            if folder is None:
                remove_empty_folders(made, root)
            if isinstance(error, UserError):
                raise
            # only the first files raise here: later write errors are recorded in the run's status
            raise UserError(f"output_dir: expected a folder to write to; got {root}: {error.strerror}.") from error


def try_out(request: Request, *, metrics: Mapping[str, Sequence[str]] = {}) -> None:
    """Build the components of a run, and leave no trace.

    Args:
        request: request for the run.
        metrics: names of metrics that the run must have, by the keys that name them.

    Raises:
        UserError: where the request cannot work.
    """
    with isolated(threads=None):
        build_parts(request.config, metrics=metrics)


def as_text(config: Mapping[str, Any]) -> bytes:
    """Return the content of config.yaml."""
    return to_yaml(config).encode()


def write_asked(folder: Path, *, config: bytes, manifest: Mapping[str, Any], changes: bytes | None) -> None:
    """Write configuration, uncommitted changes of the code, and manifest.

    A run can be resumed from these, so they are written before anything else.
    """
    write_whole(folder / CONFIG, config)
    if changes:
        write_whole(folder / PATCH, changes)
    write_manifest(folder, manifest)


def start_clean(folder: Path) -> None:
    """Set aside the files of another run in a trial's locked folder, which a new run would append to."""
    if any(not (name.startswith(".") or name in UNTRAINED) for name in os.listdir(folder)):
        aside = set_aside(folder, keep=(TRIAL,))
        print_line(f"copycat: {folder}: its run starts anew; what lay there is in {aside} now", error=True)


def with_threads(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration with the number of threads, which changes bits, filled in."""
    trainer = config["trainer"]
    return {**config, "trainer": {**trainer, "threads": trainer.get("threads") or torch.get_num_threads()}}
