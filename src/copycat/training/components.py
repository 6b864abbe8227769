"""Build the components of a run from its checked configuration, and refuse what cannot work before a folder is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from copycat.config.combinations import HALF_ON_CPU, find_shift_conflicts
from copycat.config.dotted_keys import iterate_values
from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.schedule_lengths import PARTS, fill_lengths
from copycat.config.suggestions import did_you_mean, one_of
from copycat.config.targets import build_target, check_node, import_target, instantiate_target, refusals, signature_keys
from copycat.data.datamodule import DataModule
from copycat.models.added_metrics import build_added_metrics
from copycat.models.classifier import Classifier
from copycat.models.loss_base import Loss
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.component_builders import (
    build_augmentation,
    build_loss,
    build_network,
    check_model,
    check_optimizer,
    initialize,
    with_folder,
)
from copycat.training.derived_settings import (
    PARTS_WITH_LIMITS,
    Config,
    count_batches,
    fill_directions,
    fill_from_data,
    fill_image_size,
    fill_schedule,
    trains_in_float64,
)
from copycat.training.monitors import check_monitors
from copycat.training.network_settings import apply_network_settings, find_device_type

CLASSIFIER_KEYS = ("interval", "monitor")
"""Keys of the scheduler's node that the classifier takes: they determine when it steps."""
OWN_TRAINER_KEYS = (
    *("threads", "steps_per_execution", "deterministic", "max_time", "timeout"),
    *("compile", "channels_last", "activation_checkpointing"),
)
"""Keys of the trainer's node that Copycat takes, not Lightning."""
INTERNAL_PARAMETERS = ("source", "seed", "augmentation", "dtype")
"""Parameters of the DataModule that are not keys of the data's node."""


@dataclass(frozen=True)
class RunComponents:
    """Hold the components of a run: classifier, data and configuration."""

    classifier: Classifier
    data: DataModule
    config: Config
    """Resolved configuration, with the values that network and data determine."""


def build_components(
    config: Config, *, data: DataModule | None = None, metrics: Mapping[str, Sequence[str]] = {}
) -> RunComponents:
    """Build data, network, loss, optimizer and scheduler.

    Args:
        config: resolved configuration.
        data: data of this configuration, prepared, where they are built already.
        metrics: names of further metrics that the run must have, by the keys that name them.

    Raises:
        UserError: where one of them cannot be built, or they do not fit together.
    """
    check_model(config)
    optimizer = build_target("optimizer", config["optimizer"])
    check_node("scheduler", scheduler_node(fill_lengths(config["scheduler"], total=2, per_epoch=1)))
    _check_late_targets(config)
    _check_precision(config)
    if data is None:
        config = fill_image_size(config)
        data = build_training_data(config)
    if config["test"] and "test" not in data.parts:
        raise UserError(
            "test=true: expected data with a test part; got none. Put one beside train, as a folder's test/CLASS,"
            " or where there is a validation part, type data.split=holdout."
        )
    for part in PARTS_WITH_LIMITS:
        count_batches(config["trainer"], data, part)  # refuses a limit of less than a batch
    config = fill_schedule(fill_from_data(config, data), data)
    scheduler = instantiate_target("scheduler", scheduler_node(config["scheduler"]))
    _check_input(config["model"], data)
    for problem in find_shift_conflicts(config["augmentation"], min(data.image_shape[1:])):
        raise UserError(problem)
    data.check_augmentation()
    added = build_added_metrics(config, data.classes, multi_label=data.is_multi_label)
    config = fill_directions(config, added)
    check_monitors(config, data, added=added, extra=metrics)
    loss = build_loss(config["loss"], classes=len(data.classes))
    _check_labels(loss, data)
    network = build_network(config, image_shape=data.image_shape, classes=len(data.classes))
    initialize(network, config, image_shape=data.image_shape)
    apply_network_settings(network, config["trainer"])
    watching = {**(config["scheduler"].get("second") or {}), **config["scheduler"]}
    classifier_settings = {name: watching[name] for name in CLASSIFIER_KEYS if name in watching}
    classifier = Classifier(
        network,
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        classes=len(data.classes),
        lr_multipliers=dict(iterate_values(config.get("lr_multipliers") or {})),
        decays_bias_and_norm=config.get("decay_bias_and_norm", True),
        added_metrics=added,
        compiles=bool(config["trainer"].get("compile")),
        **classifier_settings,
    )
    with refusals("optimizer", config["optimizer"]):
        made = check_optimizer(classifier.create_optimizer(), config["optimizer"])
    with refusals("scheduler", config["scheduler"]):
        schedule = scheduler(made)
    if not all(hasattr(schedule, member) for member in ("step", "state_dict")):
        raise UserError(
            f"scheduler._target_: expected a scheduler of learning rates; got {config['scheduler']['_target_']!r}."
        )
    classifier.example_input_array = torch.zeros(1, *data.image_shape)  # for loggers that trace the graph
    return RunComponents(classifier, data, config)


def _check_labels(loss: Loss, data: DataModule) -> None:
    """Check that the loss takes the labels of the data."""
    if loss.is_multi_label and not data.is_multi_label:
        raise UserError("loss: expected images that may have several classes; each has one. Type loss=auto.")
    if data.is_multi_label and not loss.is_multi_label:
        got = type(loss).__name__
        raise UserError(f"loss: expected multi_label, as images have several classes; got {got}. Type loss=auto.")


def _check_late_targets(config: Config) -> None:
    """Check the nodes that are built in the run folder, before a large data set is read."""
    unfilled = [name for name in ("num_nodes",) if config["trainer"].get(name) is None]  # ranks fill it in
    check_node("trainer", _without(config["trainer"], [*OWN_TRAINER_KEYS, *unfilled]))
    for group, kind in (("callbacks", Callback), ("logger", Logger)):
        for name, node in (config[group] or {}).items():
            if node is not None:
                check_node(f"{group}.{name}", with_folder(f"{group}.{name}", node))
                target = import_target(f"{group}.{name}", node["_target_"])
                if isinstance(target, type) and not issubclass(target, kind):
                    raise UserError(
                        f"{group}.{name}._target_: expected a {kind.__name__} of Lightning; got {node['_target_']}."
                    )
                if isinstance(target, type) and issubclass(target, LastCheckpoint):
                    _check_place(f"{group}.{name}", node)
                if isinstance(package := getattr(target, "package", None), str):
                    require_package(package, wanted_by=f"{group}.{name}")


def _check_place(key: str, node: Config) -> None:
    """Check that a run's last checkpoint lies where `copycat resume` looks for it."""
    for name, place in (("dirpath", "{run}/checkpoints"), ("filename", "last")):
        if node.get(name, place) != place:
            raise UserError(
                f"{key}.{name}: expected {place}, where copycat resume looks; got {node[name]}. Leave it out."
            )


def scheduler_node(node: Config) -> dict[str, Any]:
    """Return a scheduler's node without the keys that the classifier takes, also in the schedules of a sequence."""
    own = {name: value for name, value in node.items() if name not in CLASSIFIER_KEYS}
    return own | {part: scheduler_node(own[part]) for part in PARTS if isinstance(own.get(part), Mapping)}


def _check_precision(config: Config) -> None:
    """Refuse float64 on Apple's GPU, which has none, and mixed float16 on the CPU; a Trainer takes them by default."""
    trainer = config["trainer"]
    is_half = trainer.get("precision") == "16-mixed" and trainer["_target_"] == "pytorch_lightning.Trainer"
    if is_half and find_device_type(trainer) == "cpu":
        raise UserError(HALF_ON_CPU)
    chosen = trainer.get("accelerator", "auto") in ("auto", "gpu", "mps")
    if chosen and trains_in_float64(config) and torch.backends.mps.is_available():
        raise UserError(
            "trainer.precision=64-true: expected a device with float64; MPS has none. Type trainer.accelerator=cpu."
        )


def _without(node: Config, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name not in names}


def _check_input(node: Config, data: DataModule) -> None:
    """Check configured input sizes against the data's images."""
    channels, height, width = data.image_shape
    for name, expected in (("in_features", channels * height * width), ("image_shape", [channels, height, width])):
        if node.get(name) not in (None, expected):
            raise UserError(
                f"model.{name}: expected {expected}, as the data's images are {channels}×{height}×{width};"
                f" got {node[name]}. Leave it null."
            )


def build_training_data(config: Config) -> DataModule:
    """Build the data of a run, with its augmentation, in the precision that it is trained in.

    Raises:
        UserError: as for `build_data`.
    """
    dtype = torch.float64 if trains_in_float64(config) else torch.float32
    return build_data(config["data"], seed=config["seed"], augmentation=config["augmentation"], dtype=dtype)


def build_data(
    node: Config, *, seed: int, augmentation: Config | None = None, dtype: torch.dtype = torch.float32
) -> DataModule:
    """Build the data source that the node names, in a DataModule; without augmentation where nothing is trained.

    Raises:
        UserError: where a key is unknown, or the target is no data source.
    """
    transforms = None if augmentation is None else build_augmentation(augmentation)
    source_keys = signature_keys(import_target("data", node["_target_"]))
    loader_keys = [name for name in signature_keys(DataModule) if name not in (*source_keys, *INTERNAL_PARAMETERS)]
    for name in node:
        if name not in (*source_keys, *loader_keys, "_target_"):
            known = [*source_keys, *loader_keys]
            raise UserError(
                f"data.{name}: expected one of {one_of(known)}; got {name!r}."
                + did_you_mean(name, known, before="data.")
            )
    loader_settings = {name: value for name, value in node.items() if name in loader_keys}
    source = build_target("data", {name: value for name, value in node.items() if name not in loader_keys})
    if not all(hasattr(source, member) for member in ("classes", "synthetic", "load")):
        raise UserError(f"data._target_: expected a source with classes, synthetic and load; got {node['_target_']!r}.")
    return DataModule(source, **loader_settings, seed=seed, augmentation=transforms, dtype=dtype)
