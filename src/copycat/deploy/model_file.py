"""What an exported network's script reads of its run: model.json, plain data."""

from collections.abc import Mapping
from math import prod
from typing import Any

from copycat.config.errors import UserError
from copycat.config.moved_names import current_name, with_current_names
from copycat.config.options import is_ours
from copycat.config.own_modules import find_targets
from copycat.config.targets import import_target, signature_keys
from copycat.deploy.predictor import Predictor
from copycat.models import losses, networks
from copycat.records.run_loader import Opened

NETWORKS = "networks"
"""What the module of Copycat's networks is called beside an export."""
OWN = f"{networks.__name__}."
OUTPUTS: Mapping[type[losses.Loss], str] = {
    losses.BCE: "sigmoid",
    losses.BCEWithLogits: "sigmoid",
    losses.MSE: "clamp",
    losses.CrossEntropy: "softmax",
}
"""What a loss makes of logits."""


def described(predictor: Predictor, opened: Opened, form: str) -> dict[str, Any]:
    """Classes and decoding; where the file of the network has weights alone, also how to make it and read its logits.

    Raises:
        UserError: where that takes more of Copycat than its networks.
    """
    found: dict[str, Any] = {
        "classes": list(predictor.classes),
        "decode": {"size": predictor.size, "fit": predictor.fit, "max_pixels": predictor.max_pixels},
    }
    if form != "safetensors":
        return found
    if type(predictor.loss) not in OUTPUTS:
        raise UserError(
            f"--format safetensors: expected a loss of {losses.__name__}; got {opened.config['loss']['_target_']}."
            " Type --format onnx, or torch."
        )
    return found | {"network": _network(predictor, opened), "output": OUTPUTS[type(predictor.loss)]}


def uses_networks(node: Mapping[str, Any]) -> bool:
    """Whether a model's node names one of Copycat's networks."""
    return any(current_name(target).startswith(OWN) for target in find_targets(node))


def _network(predictor: Predictor, opened: Opened) -> Any:
    """The model's node, its open widths filled in, with Copycat's networks as a module beside the script."""
    node = with_current_names(opened.config["model"])
    for target in find_targets(node):
        if is_ours(target) and not target.startswith(OWN):
            raise UserError(
                f"--format safetensors: expected a network of {networks.__name__}; got {target}, which takes Copycat."
                " Type --format onnx, or torch."
            )
    shape = [3, predictor.size, predictor.size]
    outputs = type(predictor.loss).out_features(len(predictor.classes))
    takes = signature_keys(import_target("model", node["_target_"]))
    for name, value in {"in_features": prod(shape), "image_shape": shape, "out_features": outputs}.items():
        if name in takes and node.get(name) is None:
            node[name] = value
    return _beside(node)


def _beside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _beside(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_beside(inner) for inner in value]
    return f"{NETWORKS}.{value.removeprefix(OWN)}" if isinstance(value, str) and value.startswith(OWN) else value
