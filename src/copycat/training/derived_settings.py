"""Fill in open values of a configuration from the network, the data and the working directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from copycat.config.errors import UserError
from copycat.config.places import expand_home
from copycat.config.schedule_lengths import fill_lengths, find_length_conflicts
from copycat.config.suggestions import pluralize
from copycat.config.targets import import_target
from copycat.data.datamodule import DataModule
from copycat.data.sources.image_source import ImageSource
from copycat.models.added_metrics import AddedMetric

Config = Mapping[str, Any]
LimitedPart = Literal["train", "val"]
PARTS_WITH_LIMITS: Sequence[LimitedPart] = ("train", "val")
"""Parts whose batches the trainer may limit."""


def fill_image_size(config: Config) -> Config:
    """Fill in the image size, where it is open and the network has a preferred one."""
    data, model = config["data"], config["model"]
    wanted = getattr(import_target("model", model["_target_"]), "required_image_size", None)
    if data.get("image_size", 0) is not None or wanted is None or (size := wanted(model)) is None:
        return config
    return {**config, "data": {**data, "image_size": size}}


READ_PATHS = ("data", "root"), ("data", "file"), ("model", "weights")
"""Keys of files and folders to read, by group."""


def trains_in_float64(config: Config) -> bool:
    """Return whether weights and images are float64."""
    return bool(config["trainer"].get("precision") == "64-true")


def fill_from_data(config: Config, data: DataModule) -> Config:
    """Fill in values that are known once the data are read, so that a rerun depends on no default.

    Paths become absolute, so that the run can be evaluated, rerun and resumed from any folder.
    """
    filled: dict[str, Any] = {name: dict(config[name]) for name in ("data", "model")}
    if "shuffle" in filled["data"]:
        filled["data"]["shuffle"] = data.shuffle
    if isinstance(data.source, ImageSource) and "image_size" in filled["data"]:
        filled["data"]["image_size"] = data.source.size
    filled["data"].update(getattr(data.source, "recorded", {}))
    typed = {"root": filled["data"].get("root") or getattr(data.source, "root", None)}
    for group, name in READ_PATHS:
        node = filled[group]
        path = _absolute(node.get(name) or (typed.get(name) if name in node else None))
        if path is not None:
            node[name] = path
    loss = dict(resolve_loss(config["loss"], classes=len(data.classes), multi_label=data.is_multi_label))
    if loss.get("class_weights") == "balanced":  # of this training part, whatever the run is later evaluated on
        loss["class_weights"] = data.balanced_class_weights("loss.class_weights")
    if data.sampler is not None:
        data.balanced_class_weights("data.sampler")  # refuses a part that lacks a class
    if config.get("normalize") == "train":
        filled["normalize"] = data.parts["train"].channel_statistics
    return {**config, **filled, "loss": loss}


def fill_schedule(config: Config, data: DataModule | None) -> Config:
    """Fill in the lengths of the schedule, of which a run's configuration records whole numbers.

    Without data, it must count epochs.

    Raises:
        UserError: where they do not fit into the run.
    """
    node, trainer = config["scheduler"], config["trainer"]
    per_epoch, total = 1, trainer["max_epochs"]
    if node.get("interval") == "step":
        assert data is not None
        per_epoch, most = count_steps(trainer, data), trainer.get("max_steps", -1)
        total = total * per_epoch if most < 0 else min(total * per_epoch, most)
    for problem in find_length_conflicts(node, total=total, per_epoch=per_epoch):
        raise UserError(problem)
    return {**config, "scheduler": fill_lengths(node, total=total, per_epoch=per_epoch)}


def count_steps(trainer: Config, data: DataModule) -> int:
    """Return the optimizer steps of an epoch, as Lightning counts them."""
    return -(-count_batches(trainer, data) // int(trainer.get("accumulate_grad_batches", 1)))


def count_batches(trainer: Config, data: DataModule, part: LimitedPart = "train") -> int:
    """Return the batches of an epoch's training or of a validation, as Lightning counts them.

    Raises:
        UserError: where the limit is less than a batch.
    """
    whole = len(data.loader(part, shuffle=part == "train" and data.shuffle))
    key = "overfit_batches" if trainer.get("overfit_batches") else f"limit_{part}_batches"
    limit = trainer.get(key, 1.0)
    count = min(whole, limit) if isinstance(limit, int) else int(whole * limit)
    if not count:
        batches = pluralize(whole, "batch", "batches")
        raise UserError(
            f"trainer.{key}: expected a share of {batches} that is a batch or more; got {limit}. Type trainer.{key}=1."
        )
    return count


def fill_directions(config: Config, metrics: Sequence[AddedMetric]) -> Config:
    """Fill in the directions of the metrics that their classes state, so that tables need not import these."""
    if not metrics:
        return config
    nodes = {m.name: {**config["metrics"][m.name], "higher_is_better": m.higher_is_better} for m in metrics}
    return {**config, "metrics": nodes}


def resolve_loss(node: Config, *, classes: int, multi_label: bool = False) -> Config:
    """Return the loss's node, with the loss for these classes where the node leaves it open."""
    choose = getattr(import_target("loss", node["_target_"]), "for_classes", None)
    if choose is None:
        return node
    chosen = choose(classes, multi_label=True) if multi_label else choose(classes)
    return {**node, "_target_": f"{chosen.__module__}.{chosen.__qualname__}"}


def _absolute(path: Any) -> str | None:
    """Return the absolute path of an existing relative one; None where it does not exist or cannot be recorded."""
    if not isinstance(path, (str, Path)) or (expanded := expand_home(path)).is_absolute() or not expanded.exists():
        return None
    absolute = str(expanded.resolve() if ".." in expanded.parts else expanded.absolute())
    try:
        absolute.encode()
    except UnicodeEncodeError:  # a parent folder's name is not valid text
        return None
    return absolute
