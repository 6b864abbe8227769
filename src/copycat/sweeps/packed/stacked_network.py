"""Stack networks of one shape: their parameters become views of stacked tensors, and one pass runs all."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from copycat.models.losses import Loss
from copycat.models.networks import Normalization
from copycat.sweeps.packed import stacked_layers
from copycat.sweeps.packed.parameter_location import ParameterLocation
from copycat.sweeps.packed.stacked_layers import RandomStreams, replace_layers
from copycat.training.captured_step import CapturedStep, is_capturable

NamedTensors = dict[str, Tensor]
CAPTURE_AFTER = 20
"""Number of steps after which a step is captured and replayed."""


def compute_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm over all tensors, [trials, …] each, of each trial: [trials]."""
    each = torch.stack([torch.linalg.vector_norm(tensor.flatten(1), dim=1) for tensor in tensors])
    norms: Tensor = torch.linalg.vector_norm(each, dim=0)
    return norms


def clip_gradients(gradients: Sequence[Tensor], most: float, *, by_norm: bool) -> list[Tensor]:
    """Clip each trial's gradients, [trials, …], as torch.nn.utils.clip_grad_norm_ or clip_grad_value_ do."""
    if not by_norm:
        return [gradient.clamp(-most, most) for gradient in gradients]
    factor = (most / (compute_norms(gradients) + 1e-6)).clamp(max=1.0)
    return [gradient * factor.view(-1, *[1] * (gradient.ndim - 1)) for gradient in gradients]


class StackedNetwork:
    """Run networks and losses, equal but for their numbers, as one; the networks' parameters become views."""

    def __init__(self, networks: Sequence[nn.Module], losses: Sequence[Loss], *, device: torch.device) -> None:
        """Stack the parameters on the device."""
        self.networks = list(networks)
        for network in self.networks:
            network.to(device)
        self.streams = RandomStreams(len(networks), device)
        self.loss, self._losses = copy.deepcopy(losses[0]), list(losses)
        self._is_capturable = self._prepare()
        weights = [loss.class_weights for loss in losses]
        self.weights: Tensor | None = None
        if weights[0] is not None:
            self.weights = torch.stack([weight for weight in weights if weight is not None]).to(device)
        self._stack_parameters()

    def _prepare(self) -> bool:
        """Prepare the network that runs all; return whether each step runs the same operations."""
        self.skeleton = copy.deepcopy(self.networks[0]).to("meta")
        replace_layers(self.skeleton, self.streams)
        self.modules: list[nn.Module] = list(self.skeleton.modules())
        """Layers that run, for all trials together."""
        return is_capturable(self.skeleton, self.loss, known_module=stacked_layers.__name__)

    def _stack_parameters(self) -> None:
        parameters, buffers = stack_module_state(self.networks)
        trained = {name for name, parameter in self.networks[0].named_parameters() if parameter.requires_grad}
        self.parameters: NamedTensors = {
            n: tensor.detach().requires_grad_() for n, tensor in parameters.items() if n in trained
        }
        """Trainable parameters, [trials, …] each."""
        self.frozen: NamedTensors = {
            n: tensor.detach() for n, tensor in (*parameters.items(), *buffers.items()) if n not in trained
        }
        """Frozen parameters and buffers, [trials, …] each."""
        statistics = [n for n, m in self.networks[0].named_modules() if isinstance(m, Normalization)]
        alike = {n for n, t in self.frozen.items() if n.rpartition(".")[0] in statistics and (t == t[0]).all()}
        # trials that normalize their images alike still share a batch
        self._frozen_inputs = {name: t[0] if name in alike else t for name, t in self.frozen.items()}
        self._frozen_dims = {name: None if name in alike else 0 for name in self.frozen}
        for name, tensor in (*self.parameters.items(), *self.frozen.items()):
            for network, view in zip(self.networks, tensor.detach().unbind(0), strict=True):
                own = network.get_parameter(name) if name in parameters else network.get_buffer(name)
                own.data = view
        self._capture_anew()

    def _capture_anew(self) -> None:
        self._replays = {s: CapturedStep(partial(self._step, shared=s), after=CAPTURE_AFTER) for s in (True, False)}

    def threads(self) -> AbstractContextManager[None]:
        """Return a context in which an epoch's steps share the threads that they start."""
        return nullcontext()

    def locate(self, name: str, place: int) -> ParameterLocation:
        """Return where a trial's parameter lies."""
        return ParameterLocation(name, slice(place, place + 1), ())

    def refresh(self, place: int) -> None:
        """Update the parameters of a trial's network, where they are not views."""

    def pack_state(self, name: str, place: int, states: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a trial's optimizer state of a parameter in the form that the pack steps."""
        return states

    def unpack_state(self, name: str, place: int, states: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a trial's own optimizer state from what the pack steps."""
        return states

    def keep(self, places: Sequence[int]) -> "StackedNetwork":
        """Drop all trials but these, and return the stack of them."""
        self.networks = [self.networks[place] for place in places]
        self.streams.keep(places)
        if self.weights is not None:
            self.weights = self.weights[list(places)]
        self._stack_parameters()
        return self

    def __call__(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, Tensor]:
        """Return losses [trials] and logits [trials, B, out].

        A shared batch has images [B, …] and labels [B] for all trials, another one [trials, B, …] and [trials, B].
        """
        each = None if shared else 0
        dims = (0, self._frozen_dims, None if self.weights is None else 0, 0, each, each)
        run = vmap(self._run_trial, in_dims=dims, randomness="error")
        losses_and_logits: tuple[Tensor, Tensor] = run(
            self.parameters, self._frozen_inputs, self.weights, self.streams.places, image, label
        )
        return losses_and_logits

    def _run_trial(
        self,
        parameters: NamedTensors,
        frozen: NamedTensors,
        weight: Tensor | None,
        place: Tensor,
        image: Tensor,
        label: Tensor,
    ) -> tuple[Tensor, Tensor]:
        self.streams.place = place
        logits = functional_call(self.skeleton, (parameters, frozen), (image,))
        if weight is None:
            return self.loss(logits, label), logits
        return functional_call(self.loss, {"class_weights": weight}, (logits, label)), logits

    def step(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return losses [trials], logits [trials, B, out] and the gradients of trainable parameters, [trials, …]."""
        replayed = self._replays[shared](image, label) if self._is_capturable else None
        losses, logits, *gradients = replayed or self._step(image, label, shared=shared)
        return losses, logits, gradients

    def _step(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, ...]:
        losses, logits = self(image, label, shared=shared)
        # the sum is exact, since no loss depends on another trial's parameters; contiguous, since fused optimizers
        # ignore strides
        gradients = torch.autograd.grad(losses.sum(), list(self.parameters.values()))
        return (losses.detach(), logits.detach(), *(gradient.contiguous() for gradient in gradients))

    @property
    def draws(self) -> bool:
        """Return whether a layer draws random numbers, from the streams."""
        return any(isinstance(module, nn.Dropout) for module in self.modules)

    @property
    def tensors(self) -> NamedTensors:
        """Return the parameters, trained or frozen, in the order of a network's own."""
        both = {**self.frozen, **self.parameters}
        return {name: both[name].detach() for name, _ in self.networks[0].named_parameters()}

    def norms(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the norm over all tensors of each trial, [trials]; they are named as parameters are."""
        return compute_norms(list(tensors.values()))

    def weight_norms(self, names: Iterable[str]) -> tuple[Tensor, NamedTensors]:
        """Return the norm over all weights of each trial, [trials], and the norms of single parameters."""
        tensors = self.tensors
        return compute_norms(list(tensors.values())), {name: compute_norms([tensors[name]]) for name in names}

    def clip(self, gradients: Sequence[Tensor], most: float, *, by_norm: bool) -> list[Tensor]:
        """Clip each trial's gradients, as torch.nn.utils.clip_grad_norm_ or clip_grad_value_ do."""
        return clip_gradients(gradients, most, by_norm=by_norm)
