"""`copycat inspect`: a configured network, described without its data where it says its own widths."""

from collections.abc import Mapping
from typing import Any

import torch

from copycat.models.summary import describe
from copycat.runs.build import build_data, build_network

Config = Mapping[str, Any]


def inspect_network(config: Config) -> str:
    """Describe the network that a configuration asks for.

    Raises:
        UserError: where it cannot be made.
    """
    model = config["model"]
    shape: tuple[int, ...]
    if model.get("in_features"):
        shape, classes = (model["in_features"],), 2
    elif model.get("image_shape"):
        shape, classes = tuple(model["image_shape"]), 2
    else:
        data = build_data(config["data"], seed=config["seed"])
        shape, classes = data.image_shape, len(data.classes)
    with torch.device("meta"):
        network = build_network(config, image_shape=shape, classes=classes)
    loss = config["loss"]["_target_"].rpartition(".")[2]
    return describe(network, torch.empty(2, *shape, device="meta"), loss=loss)
