"""Build single components of a run from their nodes."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.config.targets import build_target, check_node, import_target, instantiate_target, signature_keys
from copycat.data.augmentation.transforms import Augmentation, Mixing
from copycat.models import losses
from copycat.models.initialization import Initialization
from copycat.models.network_input import to_input
from copycat.models.networks import Normalized, inner_network
from copycat.training.derived_settings import Config, resolve_loss, trains_in_float64
from copycat.training.seeds import seed_everything

DERIVED = ("in_features", "image_shape", "out_features")
"""Keys of the model's node that are filled in from data and loss."""


def check_model(config: Config) -> None:
    """Check the nodes of model and loss, before data are read.

    Raises:
        UserError: where one does not fit its target.
    """
    check_node("model", config["model"], given=DERIVED)
    loss, by_data = config["loss"], {"class_weights": None}  # numbers, once the training part is known
    is_open = loss.get("class_weights") == "balanced"
    check_node("loss", {**loss, **by_data} if is_open else loss, given=list(by_data) if is_open else ())


def check_optimizer(made: Any, node: Config) -> Optimizer:
    """Return the optimizer that a node's target made.

    Raises:
        UserError: where it is none.
    """
    if not isinstance(made, Optimizer):
        raise UserError(f"optimizer._target_: expected a torch.optim.Optimizer; got {node['_target_']!r}.")
    return made


def build_augmentation(node: Config) -> Augmentation | Mixing:
    """Build an augmentation, after checking its node.

    Raises:
        UserError: where the node does not fit its target, or the target is no augmentation.
    """
    augmentation = build_target("augmentation", node)
    if not isinstance(augmentation, (Augmentation, Mixing)):
        raise UserError(f"augmentation._target_: expected one with draws and a call; got {node['_target_']!r}.")
    return augmentation


def build_loss(node: Config, *, classes: int) -> losses.Loss:
    """Build the loss for this number of classes, from a node that `check_model` has accepted.

    Raises:
        UserError: where the target is no loss, or its weights do not fit the classes.
    """
    resolved = resolve_loss(node, classes=classes)
    if resolved != node:  # a target that `check_model` did not see
        check_node("loss", resolved)
    loss = instantiate_target("loss", resolved)
    if not isinstance(loss, losses.Loss):
        raise UserError(f"loss._target_: expected a {losses.__name__}.Loss; got {node['_target_']!r}.")
    if loss.class_weights is not None and (count := len(loss.class_weights)) != classes:
        raise UserError(f"loss.class_weights: expected {classes} numbers, one per class; got {count}.")
    return loss


def build_network(config: Config, *, image_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build the network with seeded weights from a configuration that `check_model` has accepted.

    Its open sizes come from the loss and the images, [C, H, W], or [N] where they are flattened.

    Raises:
        UserError: where the target is no network, or its outputs do not fit the classes.
    """
    try:
        loss: Any = import_target("loss", resolve_loss(config["loss"], classes=classes)["_target_"])
        outputs = loss.out_features(classes)
    except ValueError as error:
        raise UserError(f"loss: {first_line(error)}.") from error
    node = fill_sizes(config["model"], image_shape=image_shape, outputs=outputs)
    if node.get("out_features", outputs) != outputs:
        raise UserError(f"model.out_features: expected {outputs} for {classes} classes; got {node['out_features']}.")
    seed_everything(config["seed"])
    network = instantiate_target("model", node)
    if not isinstance(network, nn.Module):
        raise UserError(f"model._target_: expected an nn.Module; got {config['model']['_target_']!r}.")
    if extra := [name for name, value in network.state_dict().items() if not isinstance(value, Tensor)]:
        raise UserError(f"model: expected a state of tensors; got {extra[0]}, of get_extra_state. Use register_buffer.")
    if not type(network).__module__.startswith(("copycat.", "torch.")):
        _check_logits(network, image_shape, outputs)
    if (statistics := config.get("normalize")) is None:
        return network
    for name, values in statistics.items():
        if len(values) not in (1, channels := image_shape[0]):
            raise UserError(
                f"normalize.{name}: expected {channels} numbers, or one; got {len(values)}. Type normalize=train."
            )
    return Normalized(network, **statistics)


def _check_logits(network: nn.Module, image_shape: Sequence[int], outputs: int) -> None:
    """Check the shape of what a custom network returns; an error of its own is left to training, which records it."""
    modes = {module: module.training for module in network.modules()}
    like = next(network.parameters(), torch.empty(0))
    if isinstance(like, UninitializedParameter):
        return
    try:
        with torch.random.fork_rng(devices=()), torch.no_grad():
            logits = network.eval()(to_input(torch.zeros(2, *image_shape), network))
    except Exception:
        return
    finally:
        for module, mode in modes.items():
            module.training = mode
    if not isinstance(logits, Tensor) or logits.shape != (2, outputs):
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"model: expected logits [2, {outputs}] of two images; got {got}. Change its forward.")


def initialize(network: nn.Module, config: Config, *, image_shape: Sequence[int]) -> None:
    """Set the initial weights of a network, in float64 where it is trained so.

    Raises:
        UserError: where the node does not fit its target, or the target is no initialization.
    """
    if trains_in_float64(config):  # Lightning would convert weights that were rounded to float32
        network.double()
        for name, values in (config.get("normalize") or {}).items():
            network.get_buffer(f"normalization.{name}")[:, 0, 0] = torch.tensor(values, dtype=torch.float64)
    if (node := config.get("initialization")) is None:  # in runs of earlier versions
        return
    initialization = build_target("initialization", node)
    if not isinstance(initialization, Initialization):
        raise UserError(f"initialization._target_: expected an Initialization; got {node['_target_']!r}.")
    initialization(inner_network(network), seed=config["seed"], image_shape=image_shape)


def fill_sizes(node: Config, *, image_shape: Sequence[int], outputs: int) -> dict[str, Any]:
    """Return the model's node with its open sizes filled in."""
    accepted = signature_keys(import_target("model", node["_target_"]))
    derived = {"in_features": prod(image_shape), "image_shape": image_shape, "out_features": outputs}
    filled = {name: value for name, value in derived.items() if name in accepted and node.get(name) is None}
    return {**node, **filled}


def build_group(config: Config, group: str, folder: Path) -> list[Any]:
    """Build the callbacks, or the loggers, of a run in this folder, whose nodes `build_components` has checked.

    Raises:
        UserError: where one cannot be built.
    """
    nodes = {f"{group}.{name}": node for name, node in (config[group] or {}).items() if node is not None}
    return [instantiate_target(key, fill_run_folder(with_folder(key, node), folder)) for key, node in nodes.items()]


def with_folder(key: str, node: Config) -> Config:
    """Return a node with a folder inside that of the run, where its class writes checkpoints and it names none."""
    is_open = node.get("dirpath") is None and "dirpath" in signature_keys(import_target(key, node["_target_"]))
    return {**node, "dirpath": f"{{run}}/checkpoints/{key.rpartition('.')[2]}"} if is_open else node


def fill_run_folder(node: Any, folder: Path) -> Any:
    """Return a node with `{run}` in its strings replaced by the run folder."""
    if isinstance(node, Mapping):
        return {name: fill_run_folder(value, folder) for name, value in node.items()}
    if isinstance(node, list):
        return [fill_run_folder(value, folder) for value in node]
    return node.replace("{run}", str(folder)) if isinstance(node, str) else node
