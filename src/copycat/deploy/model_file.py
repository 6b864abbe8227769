"""model.json: what an exported network's script needs to know of its run, as plain data."""

from collections.abc import Mapping
from typing import Any

from copycat.config.errors import UserError
from copycat.config.moved_names import current_name, with_current_names
from copycat.config.options import is_ours
from copycat.config.own_modules import find_targets
from copycat.deploy.predictor import Predictor
from copycat.models import losses, networks
from copycat.records.run_loader import Opened
from copycat.training.component_builders import fill_sizes

NETWORKS = "networks"
"""Name of the module of Copycat's networks beside an export."""
NETWORKS_PREFIX = f"{networks.__name__}."
OUTPUT_FUNCTIONS: Mapping[type[losses.Loss], str] = {
    losses.BCE: "sigmoid",
    losses.BCEWithLogits: "sigmoid",
    losses.MSE: "clamp",
    losses.CrossEntropy: "softmax",
    losses.Focal: "softmax",
    losses.MultiLabel: "sigmoid",
}
"""The function that turns logits into probabilities, by loss; for a single logit, sigmoid stands for softmax."""


def describe_model(predictor: Predictor, opened: Opened, form: str) -> dict[str, Any]:
    """Describe classes and decoding; for safetensors, which holds weights only, also the network and its output.

    Raises:
        UserError: where that needs more of Copycat than its networks.
    """
    description: dict[str, Any] = {
        "classes": list(predictor.classes),
        "decode": {"size": predictor.size, "fit": predictor.fit, "max_pixels": predictor.max_pixels},
    }
    if made := predictor.calibration:
        description |= {"temperature": made.temperature, "decision": made.decision()}
    if predictor.is_multi_label:
        description = {**description, "multi_label": True, "decision": predictor.rule}
        description.pop("temperature", None)
    if form != "safetensors":
        return description
    if type(predictor.loss) not in OUTPUT_FUNCTIONS:
        raise UserError(
            f"--format safetensors: expected a loss of {losses.__name__}; got {opened.config['loss']['_target_']}."
            " Type --format onnx, or torch."
        )
    output = OUTPUT_FUNCTIONS[type(predictor.loss)]
    if output == "softmax" and predictor.loss.out_features(len(predictor.classes)) == 1:
        output = "sigmoid"
    return description | {"network": _network(predictor, opened), "output": output}


def uses_networks(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration's network is one of Copycat's, or stands behind its normalization."""
    if config.get("normalize") is not None:
        return True
    return any(current_name(target).startswith(NETWORKS_PREFIX) for target in find_targets(config["model"]))


def _network(predictor: Predictor, opened: Opened) -> Any:
    """Return the model's node with its widths filled in, and Copycat's networks as the module beside the script."""
    node = with_current_names(opened.config["model"])
    for target in find_targets(node):
        if is_ours(target) and not target.startswith(NETWORKS_PREFIX):
            raise UserError(
                f"--format safetensors: expected a network of {networks.__name__}; got {target}, which needs Copycat."
                " Type --format onnx, or torch."
            )
    shape = [3, predictor.size, predictor.size]
    outputs = type(predictor.loss).out_features(len(predictor.classes))
    node = fill_sizes(node, image_shape=shape, outputs=outputs)
    if (statistics := opened.config.get("normalize")) is not None:
        node = {"_target_": f"{NETWORKS_PREFIX}{networks.Normalized.__name__}", "network": node, **statistics}
    return _with_local_networks(node)


def _with_local_networks(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_local_networks(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_local_networks(inner) for inner in value]
    return (
        f"{NETWORKS}.{value.removeprefix(NETWORKS_PREFIX)}"
        if isinstance(value, str) and value.startswith(NETWORKS_PREFIX)
        else value
    )
