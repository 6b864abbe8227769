"""Rerun a run from its folder alone, and compare both."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.compose import Request
from copycat.config.errors import UserError
from copycat.config.own_modules import find_targets
from copycat.config.printable import Notify
from copycat.config.suggestions import one_of
from copycat.config.targets import import_target
from copycat.data.datamodule import DataModule
from copycat.data.sources.root import move_data
from copycat.models.stored_weights import recorded_backbone
from copycat.provenance.backbone import backbone_change
from copycat.provenance.diagnosis import Cause, RunInputs, diagnose
from copycat.records.checkpoint_file import damage
from copycat.records.digests import changed_files, changed_keys, recorded_digests
from copycat.records.run_folder import CONFIG
from copycat.records.run_loader import FIRST_SCHEMA, Opened
from copycat.reruns.comparison import BEST, LAST, Comparison, compare
from copycat.training.component_builders import build_network, check_model
from copycat.training.components import build_training_data
from copycat.training.lightning_internals import Position
from copycat.training.process_state import isolated
from copycat.training.stopping import Limits
from copycat.training.train import RunResult, train

OUTPUTS = "outputs"


@dataclass(frozen=True)
class Rerun:
    """Hold a rerun and its comparison with the original."""

    original: Opened
    outcome: RunResult
    comparison: Comparison
    causes: Sequence[Cause]
    """Differences known before the start, the likely cause first."""


def rerun(original: Opened, *, notify: Notify, data: Path | None = None) -> Rerun:
    """Train again into a new folder, on the images of another folder if one is given, and compare.

    Raises:
        UserError: where the run can no longer be built.
        KeyboardInterrupt: where a signal interrupted the copy.
    """
    config = _adapt_config(original, data)
    images = _data(config)
    differences = _causes(original, config, images)
    for cause in differences:
        notify(f"differs from the original: {cause.kind}: {cause.line}")
    experiment = str(original.manifest["request"]["experiment"])
    copy_of = {
        "folder": str((original.user_path if original.user_path.is_file() else original.folder).resolve()),
        "started": original.manifest["started"],
        "experiment": experiment,
    }
    request = Request(config=config, experiment=experiment, overrides=original.manifest["request"]["overrides"])
    ended = original.manifest["results"].get("ended_early")
    end = None if ended is None else Position(ended["epoch"], ended["batch"])
    # steps, not the clock: another machine takes as many
    with recorded_backbone(original.manifest, folder=original.folder):
        outcome = train(request, copy_of=copy_of, data=images, limits=Limits(ignores_clock=True, end=end))
    notify(f"the copy is in {outcome.folder}")
    if outcome.status == "interrupted":
        raise KeyboardInterrupt
    # not opened from disk: this process has just written it, so it is trusted
    copied = outcome.folder
    copy = Opened(folder=copied, manifest=dict(outcome.manifest), config=config, own=True, user_path=copied)
    return Rerun(original, outcome, compare(original, copy), differences)


def current_differences(original: Opened, *, data: Path | None = None) -> Sequence[Cause]:
    """Return the expected differences of a rerun, the likely cause first, without training; raise as `rerun` does."""
    config = _adapt_config(original, data)
    return _causes(original, config, _data(config))


def _adapt_config(original: Opened, data: Path | None) -> dict[str, Any]:
    """Return the recorded configuration with its output folder, image folder and thread count adapted."""
    config = dict(original.config)
    if not original.own:  # an untrusted run must not decide where files are written
        config["output_dir"] = OUTPUTS
    if data is not None:
        config["data"] = move_data(config["data"], data, word="data=")  # the command has checked its option
    if config["trainer"].get("threads") is None:
        threads = original.manifest["provenance"]["environment"]["threads"]
        config["trainer"] = {**config["trainer"], "threads": threads}
    return config


def _data(config: Mapping[str, Any]) -> DataModule:
    return build_training_data(config)


def _causes(original: Opened, config: Mapping[str, Any], data: DataModule) -> Sequence[Cause]:
    # the folders are no differences: images are compared by content
    as_recorded = {**config, "data": original.config["data"], "output_dir": original.config["output_dir"]}
    changed = _changed_records(original)
    with isolated(threads=config["trainer"]["threads"]):
        for target in find_targets(config):
            with suppress(UserError):  # the code of what is imported is compared; training says what is not there
                import_target("config", target)
        now = RunInputs.from_process(as_recorded, data)
        if "backbone" in original.manifest["provenance"]:
            check_model(config)
            with recorded_backbone(original.manifest, folder=original.folder):
                network = build_network(config, image_shape=data.image_shape, classes=len(data.classes))
            if change := backbone_change(network, original.manifest):
                changed.append(Cause("weights", f"the backbone: {change}"))
    recorded = RunInputs.from_folder(original.folder, original.manifest, original.config)
    return [*changed, *diagnose(recorded, now)]


def _changed_records(original: Opened) -> list[Cause]:
    """Return the recorded files that have changed since."""
    request, recorded = original.manifest["request"], recorded_digests(original.manifest)
    lines = {name: f"{name} {what}" for name, what in changed_files(original.folder, recorded)}
    for name in (f"checkpoints/{BEST}", f"checkpoints/{LAST}"):
        path = original.folder / name
        if original.manifest["schema"] != FIRST_SCHEMA and path.exists() and (wrong := damage(path)):
            lines[name] = f"{name}: {wrong}"
    if CONFIG in lines and isinstance(request.get("config_keys"), dict):
        keys = [key for key in changed_keys(original.config, request["config_keys"]) if key.isprintable()]
        lines[CONFIG] += f": {one_of(keys)}" if keys else ""
    return [Cause("config" if name == CONFIG else "record", line) for name, line in lines.items()]
