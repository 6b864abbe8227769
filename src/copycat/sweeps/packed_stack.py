"""Many networks of one shape as one: their parameters are views of stacked tensors, and one step trains them all."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.optim import Optimizer

from copycat.models.losses import Loss
from copycat.sweeps.packed_layers import Streams, shared

Named = dict[str, Tensor]


class Stack:
    """Args:
    networks, losses: of the trials, alike but for their numbers. The networks' parameters become views.
    """

    def __init__(self, networks: Sequence[nn.Module], losses: Sequence[Loss], *, device: torch.device) -> None:
        self.networks = list(networks)
        for network in self.networks:
            network.to(device)
        self.streams = Streams(len(networks), device)
        self.skeleton = copy.deepcopy(networks[0]).to("meta")
        shared(self.skeleton, self.streams)
        self.loss = copy.deepcopy(losses[0])
        weights = [loss.weight for loss in losses]
        self.weights: Tensor | None = None
        if weights[0] is not None:
            self.weights = torch.stack([weight for weight in weights if weight is not None]).to(device)
        self._stacked(stack_module_state(list(networks)))

    def _stacked(self, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
        parameters, buffers = state
        self.parameters: Named = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        self.buffers: Named = {name: tensor.detach() for name, tensor in buffers.items()}
        self.columns = []
        for name, tensor in self.parameters.items():
            self.columns.append([network.get_parameter(name) for network in self.networks])
            for parameter, view in zip(self.columns[-1], tensor.detach().unbind(0), strict=True):
                parameter.data = view
        for name, tensor in self.buffers.items():
            for network, view in zip(self.networks, tensor.unbind(0), strict=True):
                network.get_buffer(name).data = view

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with these trials alone."""
        self.networks = [self.networks[place] for place in kept]
        self.streams.keep(kept)
        if self.weights is not None:
            self.weights = self.weights[list(kept)]
        self._stacked(stack_module_state(self.networks))

    def __call__(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, Tensor]:
        """Losses [trials] and logits [trials, B, out].

        Args:
            image, label: one batch for all, or [trials, B, …].
        """
        each = None if shared else 0
        dims = (0, 0, None if self.weights is None else 0, 0, each, each)
        run = vmap(self._one, in_dims=dims, randomness="error")
        found: tuple[Tensor, Tensor] = run(
            self.parameters, self.buffers, self.weights, self.streams.places, image, label
        )
        return found

    def _one(
        self, parameters: Named, buffers: Named, weight: Tensor | None, place: Tensor, image: Tensor, label: Tensor
    ) -> tuple[Tensor, Tensor]:
        self.streams.here = place
        logits = functional_call(self.skeleton, (parameters, buffers), (image,))
        state = {} if weight is None else {"weight": weight}
        return functional_call(self.loss, state, (logits, label)), logits

    def gradients(self, losses: Tensor) -> list[Tensor]:
        """Of each trial's loss by its own parameters, [trials, …]: no trial's loss depends on another's."""
        return list(torch.autograd.grad(losses.sum(), list(self.parameters.values())))

    def hand_out(self, gradients: Iterable[Tensor]) -> None:
        """Give each trial's parameters their part."""
        for column, gradient in zip(self.columns, gradients, strict=True):
            # fused optimizers read memory in order, whatever the strides say
            for parameter, part in zip(column, gradient.contiguous().unbind(0), strict=True):
                parameter.grad = part


class Optimizers:
    """The trials' optimizers, stepped as one, with a parameter group for each; their states stay their own.

    Args:
        like: makes another of the same class.
    """

    def __init__(self, each: Sequence[Optimizer], *, like: Callable[[], Optimizer]) -> None:
        self.joint = like()
        self.each: list[Optimizer] = []
        self.take(each)

    def take(self, each: Sequence[Optimizer]) -> None:
        """Step these from now on."""
        self.each = list(each)
        self.groups = [group for optimizer in each for group in optimizer.param_groups]
        self.joint.param_groups = [dict(group) for group in self.groups]
        self.joint.state = defaultdict(dict)
        for optimizer in each:
            optimizer._opt_called = True  # type: ignore[attr-defined]  # schedulers ask for it: a step is made for it
            self.joint.state.update(optimizer.state)
        for group in self.joint.param_groups:
            if "fused" in group and group["fused"] is None and not group.get("foreach"):
                group["fused"] = True  # one kernel for a whole group, in place of one for each operation
        self._shared = False

    def step(self) -> None:
        self.joint.step()
        if not self._shared:
            for optimizer in self.each:
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        optimizer.state[parameter] = self.joint.state[parameter]
            self._shared = True

    def follow(self) -> None:
        """Take over what schedulers changed."""
        for ours, theirs in zip(self.joint.param_groups, self.groups, strict=True):
            for name, value in theirs.items():
                if name not in ("params", "fused"):
                    ours[name] = value
