"""Describe a configured network for `copycat inspect`, without its data where the widths are configured."""

from collections.abc import Mapping
from typing import Any

import torch

from copycat.models.summary import BATCH, describe_network
from copycat.training.component_builders import build_network, check_model
from copycat.training.components import build_data
from copycat.training.derived_settings import fill_image_size, resolve_loss

Config = Mapping[str, Any]


def inspect_network(config: Config) -> str:
    """Describe the network that a composed configuration defines.

    Raises:
        UserError: where the network cannot be built.
    """
    check_model(config)
    model = config["model"]
    classes = max(2, model.get("out_features") or 2)  # a single output tells two classes apart
    shape: tuple[int, ...]
    if model.get("in_features"):
        shape = (model["in_features"],)
    elif model.get("image_shape"):
        shape = tuple(model["image_shape"])
    else:
        data = build_data(fill_image_size(config)["data"], seed=config["seed"])
        shape, classes = data.image_shape, len(data.classes)
    loss = resolve_loss(config["loss"], classes=classes)["_target_"].rpartition(".")[2]
    statistics = config.get("normalize")
    if statistics is not None and len(shape) == 1:
        shape, statistics = (1, 1, *shape), "train"  # the channels are unknown, but not the names of the layers
    config = {**config, "normalize": {"mean": [0.0], "std": [1.0]} if statistics == "train" else statistics}
    with torch.device("meta"):  # for what forward makes too, such as positions
        network = build_network(config, image_shape=shape, classes=classes)
        return describe_network(network, torch.empty(BATCH, *shape), loss=loss)
