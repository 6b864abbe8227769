"""Prepare a trial for a pack: load the run that it resumes, build its parts, and decide whether it can be packed."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.data.datamodule import DataModule
from copycat.models.stored_weights import recorded_backbone
from copycat.provenance.backbone import check_backbone
from copycat.provenance.diagnosis import RunInputs, diagnose
from copycat.records.run_loader import Opened, read_checkpoint
from copycat.records.trial_file import ENDED, Trial
from copycat.sweeps.job import Job
from copycat.sweeps.packed.eligibility import why_not_packable
from copycat.sweeps.packed.layer_chain import Chain
from copycat.sweeps.search.objectives import get_named_metrics
from copycat.sweeps.trial_folder import find_run
from copycat.training.checkpoints import CHECKPOINT_KEY
from copycat.training.components import RunComponents, build_components, build_data
from copycat.training.derived_settings import fill_image_size
from copycat.training.lightning_internals import Position
from copycat.training.process_state import isolated
from copycat.training.result import RunResult
from copycat.training.resume import make_resumed_manifest
from copycat.training.resume_point import ResumePoint, describe_resume, find_resume_point, list_resume_points
from copycat.training.stopping import Pruner

log = logging.getLogger(__name__)
STACK = "pack_stack"
"""Key of the numbers of the trials in the stack, in Copycat's entry of a checkpoint."""


@dataclass
class PackedTrial:
    """Hold a trial that is to run, and what is built or loaded for it."""

    job: Job
    record: Trial
    folder: Path
    request: Request
    settings: Mapping[str, Any]
    """The node `sweep`."""
    pruner: Pruner | None = None
    parts: RunComponents = field(init=False, repr=False)
    """Built by `Preparation.prepare`."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Manifest of a run that was started before; empty if it was not."""
    opened: Opened | None = None
    """Files of such a run; set by `Preparation.open_runs`, as `point` is."""
    point: ResumePoint | None = None
    """Where such a run resumes, unless it has ended."""
    checkpoint: dict[str, Any] | None = None
    """Checkpoint that such a run resumes from; None to start from epoch 0."""
    chain_kind: str = ""
    """Kind of the network, in a pack of unlike ones."""
    ended_after: int | None = None
    """Epochs after which it ended, where it only keeps its place in a pack that resumes."""

    @property
    def is_placeholder(self) -> bool:
        """Return whether it has ended, and only keeps its place in a pack that resumes."""
        return self.ended_after is not None

    @property
    def pack(self) -> list[int] | None:
        """Return the numbers of the trials in the pack that trained the run; None where it starts from epoch 0."""
        if self.checkpoint is None:  # it joins the trials that its pack had not started when it stopped
            return None
        numbers: list[int] | None = self.manifest.get("provenance", {}).get("pack")
        return numbers

    @property
    def stack(self) -> list[int]:
        """Return the numbers of the trials in the stack that the checkpoint was saved of, those that had ended too."""
        return [] if self.checkpoint is None else list(self.checkpoint[CHECKPOINT_KEY].get(STACK, ()))

    @property
    def finished(self) -> bool:
        """Return whether such a run had ended its training, and only its last records are missing."""
        return self.checkpoint is not None and bool(self.checkpoint[CHECKPOINT_KEY]["finished"])

    @property
    def epoch(self) -> int:
        """Return the epoch at which training starts."""
        return 0 if self.checkpoint is None else int(self.checkpoint[CHECKPOINT_KEY]["epoch"])

    @cached_property
    def pack_key(self) -> str:
        """Return a key that is equal for trials that differ in numbers alone."""
        network = self.parts.classifier.network
        shapes = {name: list(tensor.shape) for name, tensor in [*network.named_parameters(), *network.named_buffers()]}
        trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        return self._describe([self._fixed_config(), shapes, trained])

    def joint_key(self, network: Chain) -> str:
        """Return a key that is equal for trials that differ in numbers, and in the layers of their networks."""
        first, last = network.linear[0][1].in_features, network.linear[-1][1].out_features
        return self._describe([{**self._fixed_config(), "model": None, "activation": None}, first, last])

    def _fixed_config(self) -> dict[str, Any]:
        """Return the configuration without what trials of a pack may differ in."""
        config, class_weights = self.request.config, self.parts.classifier.loss.class_weights
        fixed = ("_target_", "interval", "monitor", "frequency")
        free = {
            "optimizer": {"_target_": config["optimizer"]["_target_"]},
            "scheduler": {name: config["scheduler"].get(name) for name in fixed},
            "loss": {**config["loss"], "class_weights": class_weights is not None},
            "data": {**config["data"], "fold": None, "split_seed": None},
            "normalize": config.get("normalize") is not None,
            "initialization": None,  # the weights are drawn already
            "seed": None,
        }
        return {**config, **free}

    def _describe(self, facts: list[Any]) -> str:
        counts = [len(self.parts.data.parts[part]) for part in ("train", "val")]
        start = [self.epoch, self.finished, self.pack]
        return json.dumps([*facts, counts, start, repr(torch.get_default_dtype())], sort_keys=True, default=str)


class Preparation:
    """Build the parts of trials; those with the same batches share a data module."""

    def __init__(self) -> None:
        """Start without data."""
        self._data: dict[str, DataModule] = {}

    def open_runs(self, trials: Sequence[PackedTrial]) -> dict[int, Exception]:
        """Open the runs of started trials, and find where they resume; return errors by the numbers of trials."""
        packs, errors = dict[tuple[int, ...], list[PackedTrial]](), dict[int, Exception]()
        for trial in trials:
            try:
                trial.opened = opened = find_run(trial.folder, trial.request.overrides)
                if opened is not None and opened.manifest["status"] not in ENDED:
                    trial.point = find_resume_point(opened, notify=log.info)
                    packs.setdefault(tuple(opened.manifest["provenance"].get("pack", ())), []).append(trial)
            except Exception as error:
                errors[trial.job.number] = error
        for numbers, mates in packs.items():
            if numbers:
                _align(mates)
        return errors

    def prepare(self, trial: PackedTrial) -> Exception | RunResult | str | None:
        """Build a trial's parts.

        Returns:
            None if it can be packed, the reason if not, the outcome of a run that has ended, or the error it fails by.
        """
        try:
            with isolated(threads=None):
                outcome_or_reason = _load_started_run(trial)
                return self._build(trial) if outcome_or_reason is None else outcome_or_reason
        except Exception as failure:
            return failure

    def prepare_placeholder(self, trial: PackedTrial, mate: PackedTrial) -> None:
        """Build an ended trial that keeps its place beside `mate`; it starts where that one resumes.

        Raises:
            UserError: where it cannot be packed any more.
        """
        trial.ended_after = 0
        if (opened := find_run(trial.folder, trial.request.overrides)) is not None:
            trial.request = replace(trial.request, config=opened.config)
            # of the epoch in which it failed there are no metrics
            trial.ended_after = opened.manifest["results"].get("epochs", 0) + (opened.manifest["status"] == "failed")
        with isolated(threads=None):
            if why := self._build(trial):
                raise UserError(why)
        assert mate.checkpoint is not None
        trial.manifest = {"provenance": mate.manifest["provenance"]}
        trial.checkpoint = {CHECKPOINT_KEY: mate.checkpoint[CHECKPOINT_KEY]}

    def _build(self, trial: PackedTrial) -> str | None:
        """Build a trial's parts; return why it cannot be packed."""
        config = fill_image_size(trial.request.config)
        if why := why_not_packable(config):
            return why
        metrics = get_named_metrics(trial.settings)
        data = self._get_data(config)
        with recorded_backbone(trial.manifest):
            trial.parts = build_components(config, data=data, metrics=metrics)
        trial.request = replace(trial.request, config=trial.parts.config)
        if trial.manifest:
            _check_data(trial)
        return why_not_packable(config, trial.parts)

    def _get_data(self, config: Mapping[str, Any]) -> DataModule:
        """Return a data module, shared by trials with the same batches; images are read once per split."""
        node, augmentation = dict(config["data"]), config["augmentation"]
        if node["shuffle"] is None:  # as a run records it: one that resumes has the data of those that start
            node["shuffle"] = node["batch_size"] is not None
        shuffles = node["shuffle"] or node.get("sampler") is not None
        varies = shuffles or not is_option(augmentation["_target_"], "augmentation", "none")
        own = json.dumps([node, augmentation, config["seed"] if varies else None], sort_keys=True)
        if own not in self._data:
            data = build_data(node, seed=config["seed"], augmentation=augmentation)
            read = json.dumps({name: node[name] for name in node if name not in ("shuffle", "batch_size", "sampler")})
            if read in self._data:
                data.share_parts(self._data[read])
            self._data.setdefault(read, data)
            self._data[own] = data
        return self._data[own]


def _align(mates: Sequence[PackedTrial]) -> None:
    """Let trials of a pack that was killed between their checkpoints resume from the newest epoch that all have.

    They would form packs of other sizes otherwise, whose bits may differ.
    """
    if len({trial.point.position for trial in mates if trial.point}) == 1:
        return
    choices = [{p.position: p for p in list_resume_points(trial.opened)} for trial in mates if trial.opened]
    if shared := set[Position].intersection(*map(set, choices)):
        newest = max(shared, key=lambda position: position.epoch)
        for trial, points in zip(mates, choices, strict=True):
            trial.point = points[newest]
        log.info("the pack was killed between the checkpoints of its trials: %s", describe_resume(choices[0][newest]))


def _load_started_run(trial: PackedTrial) -> RunResult | str | None:
    """Load what a started trial resumes from; return its outcome if it has ended, or why it cannot be packed."""
    opened, point = trial.opened, trial.point
    if opened is None:
        return None
    if point is None:  # the sweep died before it recorded that
        return RunResult(trial.folder, str(opened.manifest["status"]), opened.manifest)
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
