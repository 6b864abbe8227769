"""Decide which trials can be packed."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from pytorch_lightning.callbacks import EarlyStopping
from torch import nn
from torch.nn.modules import dropout

from copycat.config.targets import import_target
from copycat.data.loaders import MemoryLoader
from copycat.inspection.callbacks.inspector import Inspector, Measurer
from copycat.inspection.callbacks.layer_statistics import Statistics
from copycat.inspection.callbacks.progress_bar import ProgressBar
from copycat.models.networks import inner_network
from copycat.sweeps.packed.stackability import why_not_stackable
from copycat.training.best_checkpoint import BestCheckpoint
from copycat.training.captured_step import LOSSES, has_hooks
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.components import RunComponents
from copycat.training.seeds import KNOWN_MODULES, RANDOM_LAYERS

REQUIRED_VALUES = {
    "_target_": "pytorch_lightning.Trainer",
    "devices": 1,
    "precision": "32-true",
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
}
"""Required values of keys of the trainer."""
SINGLE_NETWORK_KEYS = ("compile", "channels_last", "activation_checkpointing")
"""Keys of the trainer that concern how one network computes, which a pack of several replaces."""
SUPPORTED_KEYS = (
    *REQUIRED_VALUES,
    *(
        "max_epochs",
        "max_time",
        "accelerator",
        "threads",
        "steps_per_execution",
        "deterministic",
        "check_val_every_n_epoch",
    ),
    *("gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches"),
)
"""Keys of the trainer that a pack supports."""


def why_not_packable(config: Mapping[str, Any], parts: RunComponents | None = None) -> str | None:
    """Return why a trial cannot be packed, or None if it can; without its parts, by its configuration alone."""
    trainer = config["trainer"]
    for name, value in REQUIRED_VALUES.items():
        if repr(trainer.get(name)) != repr(value):  # 1.0 is all batches, and 1 a single one
            return f"trainer.{name}={trainer.get(name)}"
    for name in trainer:
        if name not in SUPPORTED_KEYS and (name not in SINGLE_NETWORK_KEYS or trainer[name]):
            return f"trainer.{name}={trainer[name]}"
    if not trainer["check_val_every_n_epoch"] or not trainer["max_epochs"] or trainer["max_epochs"] < 1:
        return "trainer.check_val_every_n_epoch and max_epochs need whole numbers"
    if config.get("lr_multipliers"):
        return "lr_multipliers: a pack has one rate for all layers"
    if config.get("decay_bias_and_norm") is False:
        return "decay_bias_and_norm=false: a pack has one weight decay for all parameters"
    for name, node in (config["callbacks"] or {}).items():
        if node is not None and (why := _check_callback(name, node, trainer)):
            return f"callbacks.{name}{why}"
    for name, node in (config["logger"] or {}).items():
        if node is not None and not getattr(import_target(f"logger.{name}", node["_target_"]), "is_packable", True):
            return f"logger.{name} keeps one run per process"
    return None if parts is None else _check_parts(parts)


def _check_callback(name: str, node: Mapping[str, Any], trainer: Mapping[str, Any]) -> str | None:
    """Return why a pack cannot do the work of a callback as a Trainer does, or None if it can."""
    target, monitor = import_target(f"callbacks.{name}", node["_target_"]), str(node.get("monitor"))
    if not _is_packable(target):
        return " needs a Trainer of its own"
    if name == "best" and not monitor.startswith("val/"):
        return f".monitor={monitor}"
    if target is not EarlyStopping:
        return None
    if not node.get("strict", True):
        return ".strict=False"
    every, at_end = trainer["check_val_every_n_epoch"], node.get("check_on_train_epoch_end")
    if at_end is False or (at_end is None and every > 1):  # before the training metrics of that epoch are known
        return None if monitor.startswith("val/") else f".monitor={monitor}"
    return None if every == 1 else f".check_on_train_epoch_end={at_end}"


PACKED_CALLBACKS = (ProgressBar, LastCheckpoint, BestCheckpoint, EarlyStopping, Statistics)
"""Callbacks whose work a pack does itself, for each trial."""


def _is_packable(callback: object) -> bool:
    """Return whether a callback is one of these, or an inspector of a run's start and end alone."""
    is_inspector = isinstance(callback, type) and issubclass(callback, Inspector) and not issubclass(callback, Measurer)
    return is_inspector or callback in PACKED_CALLBACKS


def _check_parts(parts: RunComponents) -> str | None:
    data, network = parts.data, parts.classifier.network
    if data.mixing is not None:
        return "an augmentation that mixes images"
    for part in ("train", "val"):
        if not isinstance(data.loader(part, shuffle=data.shuffle and part == "train"), MemoryLoader):
            return "images that are decoded as they are needed"
    optimizer = parts.classifier.create_optimizer()
    if not type(optimizer).__module__.startswith("torch.optim."):  # a pack steps the tensors of all trials at once
        return f"{type(optimizer).__name__} is no optimizer of torch: a step may combine tensors"
    closure = signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is Parameter.empty:
        return f"{type(optimizer).__name__} evaluates the loss again and again"
    for module in network.modules():
        if isinstance(module, RANDOM_LAYERS) and type(module) is not nn.Dropout:
            return f"{type(module).__name__} draws random numbers"
        if getattr(module, "sparse", False):
            return "sparse gradients"
        if isinstance(module, dropout._DropoutNd) and module.inplace:
            return "dropout in place"
    if not list(network.parameters()):
        return "a network without parameters"
    if has_hooks(network):  # which see, or change, the numbers of one network
        return f"{type(inner_network(network)).__name__} has hooks"
    modules = [*network.modules(), parts.classifier.loss]
    is_known = all(type(module).__module__.startswith((*KNOWN_MODULES, LOSSES)) for module in modules)
    return None if is_known else why_not_stackable(parts)
