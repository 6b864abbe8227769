"""Prepare a trial for a pack: load the run that it resumes, build its parts, and say why it cannot be packed."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.data.datamodule import DataModule
from copycat.provenance.backbone import check_backbone
from copycat.provenance.diagnosis import RunInputs, diagnose
from copycat.records.run_loader import read_checkpoint
from copycat.records.trial_file import ENDED
from copycat.sweeps.packed.eligibility import why_not_packable
from copycat.sweeps.packed.trial import PackedTrial
from copycat.sweeps.search.objectives import get_named_metrics
from copycat.sweeps.trial_folder import find_run
from copycat.training.components import build_components, build_data
from copycat.training.derived_settings import fill_image_size
from copycat.training.process_state import isolated
from copycat.training.result import RunResult
from copycat.training.resume import find_resume_point, make_resumed_manifest

log = logging.getLogger(__name__)


class Preparation:
    """Build the parts of trials; those with the same batches share a data module."""

    def __init__(self) -> None:
        """Start without data."""
        self._data: dict[str, DataModule] = {}

    def prepare(self, trial: PackedTrial) -> Exception | RunResult | str | None:
        """Build a trial's parts.

        Returns:
            None if it can be packed, the reason if not, the outcome of a run that has ended, or the error it fails by.
        """
        try:
            with isolated(threads=None):
                if (outcome_or_reason := _load_started_run(trial)) is not None:
                    return outcome_or_reason
                config = fill_image_size(trial.request.config)
                if why := why_not_packable(config):
                    return why
                metrics = get_named_metrics(trial.settings)
                trial.parts = build_components(config, data=self._get_data(config), metrics=metrics)
                trial.request = replace(trial.request, config=trial.parts.config)
                if trial.manifest:
                    _check_data(trial)
                return why_not_packable(config, trial.parts)
        except Exception as failure:
            return failure

    def _get_data(self, config: Mapping[str, Any]) -> DataModule:
        """Return a data module, shared by trials with the same batches; images are read once per split."""
        node, augmentation = config["data"], config["augmentation"]
        shuffles = node["batch_size"] is not None if node["shuffle"] is None else node["shuffle"]
        varies = shuffles or not is_option(augmentation["_target_"], "augmentation", "none")
        own = json.dumps([node, augmentation, config["seed"] if varies else None], sort_keys=True)
        if own not in self._data:
            data = build_data(node, seed=config["seed"], augmentation=augmentation)
            read = json.dumps({name: node[name] for name in node if name not in ("shuffle", "batch_size")})
            if read in self._data:
                data.share_parts(self._data[read])
            self._data.setdefault(read, data)
            self._data[own] = data
        return self._data[own]


def _load_started_run(trial: PackedTrial) -> RunResult | str | None:
    """Load what a started trial resumes from; return its outcome if it has ended, or why it cannot be packed."""
    opened = find_run(trial.folder, trial.request.overrides)
    if opened is None:
        return None
    if opened.manifest["status"] in ENDED:  # the sweep died before it recorded that
        return RunResult(trial.folder, str(opened.manifest["status"]), opened.manifest)
    point = find_resume_point(opened, say=log.info)
    if point.position.batch:
        return "it stopped inside an epoch"
    trial.manifest = make_resumed_manifest(opened.manifest, point)
    # the recorded configuration has values that the first start resolved: the number of threads, say
    trial.request = replace(trial.request, config=opened.config)
    if point.checkpoint is not None:
        trial.checkpoint = read_checkpoint(point.checkpoint, opened)
    return None


def _check_data(trial: PackedTrial) -> None:
    """Check that data and backbone are those that a run started with."""
    folder, manifest, config, data = trial.folder, trial.manifest, trial.request.config, trial.parts.data
    check_backbone(trial.parts.classifier.network, manifest, folder=folder)
    if manifest["provenance"]["data"].get("all") == data.fingerprint().get("all"):
        return
    for cause in diagnose(RunInputs.from_folder(folder, manifest, config), RunInputs.from_process(config, data)):
        if cause.kind == "data":
            raise UserError(f"{folder}: expected the data that the run began with; {cause.line}.")
