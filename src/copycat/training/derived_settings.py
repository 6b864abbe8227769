"""Values that a configuration leaves open: filled in from the network, the data and the place where it was typed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copycat.config.targets import import_target
from copycat.data.datamodule import DataModule
from copycat.data.sources.folder import Folder

Config = Mapping[str, Any]

PATHS = (("data", "root"), ("model", "weights"))
"""Keys that name a file or folder to read."""


def prepared(config: Config) -> Config:
    """Fill in the size of images, where the data leave it open and the network has one that it takes."""
    data, model = config["data"], config["model"]
    wanted = getattr(import_target("model", model["_target_"]), "required_image_size", None)
    if data.get("image_size", 0) is not None or wanted is None or (size := wanted(model)) is None:
        return config
    return {**config, "data": {**data, "image_size": size}}


def settled(config: Config, data: DataModule) -> Config:
    """Fill in what is known once the data are read: a run records it, and a rerun depends on no default.

    Paths become absolute, so that the run can be evaluated, rerun and resumed from any folder.
    """
    filled = {name: dict(config[name]) for name in ("data", "model")}
    if "shuffle" in filled["data"]:
        filled["data"]["shuffle"] = data.shuffle
    if isinstance(data.source, Folder) and "image_size" in filled["data"]:
        filled["data"]["image_size"] = data.source.size
    typed = {"root": filled["data"].get("root") or getattr(data.source, "root", None)}
    for group, name in PATHS:
        node = filled[group]
        path = _absolute(node.get(name) or (typed.get(name) if name in node else None))
        if path is not None:
            node[name] = path
    return {**config, **filled, "loss": chosen_loss(config["loss"], classes=len(data.classes))}


def chosen_loss(node: Config, *, classes: int) -> Config:
    """The loss's node, with the loss for so many classes where it leaves that open."""
    choose = getattr(import_target("loss", node["_target_"]), "for_classes", None)
    if choose is None:
        return node
    chosen = choose(classes)
    return {**node, "_target_": f"{chosen.__module__}.{chosen.__qualname__}"}


def _absolute(path: Any) -> str | None:
    """The absolute path of what lies at a relative one; None where nothing does, or it cannot be recorded."""
    if not isinstance(path, (str, Path)) or (found := Path(path).expanduser()).is_absolute() or not found.exists():
        return None
    absolute = str(found.resolve() if ".." in found.parts else found.absolute())
    try:
        absolute.encode()
    except UnicodeEncodeError:  # a folder above is named in another encoding
        return None
    return absolute
