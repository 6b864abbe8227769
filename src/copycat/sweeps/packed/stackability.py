"""Decide by trying a step whether a pack can stack a network and a loss of the user's."""

import copy
import random

import numpy as np
import torch
from torch import nn

from copycat.config.suggestions import first_line
from copycat.models.networks import inner_network
from copycat.sweeps.packed.autotune import time_steps
from copycat.training.captured_step import LOSSES
from copycat.training.components import RunComponents


def why_not_stackable(parts: RunComponents) -> str | None:
    """Return why two copies of a network and its loss cannot be stacked, by trying a step; None if they can."""
    name = type(inner_network(parts.classifier.network)).__name__
    if type(parts.classifier.loss).__module__ != LOSSES:
        name += f" with {type(parts.classifier.loss).__name__}"
    try:
        with torch.random.fork_rng():
            if (effect := _find_side_effect(parts)) is not None:
                return f"{name} {effect}"
            time_steps([(parts, "")] * 2, steps=1)
    except Exception as failure:  # a user's network may raise anything
        return f"torch.func cannot batch {name}: {first_line(failure)}"
    return None


def _find_side_effect(parts: RunComponents) -> str | None:
    """Return a step's effect beyond weights, buffers and the random numbers of dropout layers, or None."""
    network, loss = copy.deepcopy(parts.classifier.network), copy.deepcopy(parts.classifier.loss)
    for module in network.train().modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    batch = next(parts.data.loader("train", shuffle=parts.data.shuffle).batches(0, 1))  # type: ignore[union-attr]
    modules, states = [*network.modules(), *loss.modules()], _generator_states()
    attributes = [_plain_attributes(module) for module in modules]
    with torch.no_grad():
        loss(network(batch["image"].cpu()), batch["label"].cpu())
    if states != _generator_states():
        return "draws random numbers"
    for module, before in zip(modules, attributes, strict=True):
        if changed := sorted(before.items() ^ _plain_attributes(module).items()):
            return f"changes its attribute {changed[0][0]} in each step"
    return None


def _plain_attributes(module: nn.Module) -> dict[str, str]:
    plain, torchs = (int, float, str, list, tuple, dict, type(None)), vars(nn.Module())
    return {
        name: repr(value) for name, value in vars(module).items() if name not in torchs and isinstance(value, plain)
    }


def _generator_states() -> list[object]:
    return [torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state(legacy=False))]
