"""Step convolutional networks of one shape on a CPU, one trial after the other, on the same batch."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from copycat.models.losses import Loss
from copycat.sweeps.packed.stacked_layers import RandomStreams, draw_factors
from copycat.sweeps.packed.stacked_network import NamedTensors, StackedNetwork


class LoopedNetwork(StackedNetwork):
    """Run networks in turn, images in torch.channels_last; parameters are stacked, and updated as those of a stack.

    On a CPU, vmap turns the convolutions of several trials into grouped ones, which take longer than one after the
    other; channels_last takes about two thirds of their time.
    """

    def _prepare(self) -> bool:
        self.skeleton = copy.deepcopy(self.networks[0])
        self.modules = list(self.skeleton.modules())
        for module in self.modules:
            if type(module) is nn.Dropout:
                module.__class__ = LoopedDropout
                module.streams = self.streams  # type: ignore[assignment]
        return False

    def __call__(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, Tensor]:
        """Return losses [trials] and logits [trials, B, out], as `StackedNetwork` does."""
        found = [self._run(place, self._slice(place), image, label, shared=shared) for place in range(self._count)]
        losses, logits = zip(*found, strict=True)
        return torch.stack(losses), torch.stack(logits)

    @property
    def _count(self) -> int:
        return len(self.networks)

    def _slice(self, place: int) -> NamedTensors:
        return {name: tensor.detach()[place] for name, tensor in self.parameters.items()}

    def _run(
        self, place: int, parameters: NamedTensors, image: Tensor, label: Tensor, *, shared: bool
    ) -> tuple[Tensor, Tensor]:
        """Return loss and logits of one trial."""
        own_image, own_label = (image, label) if shared else (image[place], label[place])
        self.streams.current = place
        frozen = {name: tensor[place] for name, tensor in self.frozen.items()}
        layout = torch.channels_last if own_image.ndim == 4 else torch.contiguous_format
        logits = functional_call(self.skeleton, (parameters, frozen), (own_image.contiguous(memory_format=layout),))
        weights = {} if self.weights is None else {"class_weights": self.weights[place]}
        loss: Tensor = functional_call(self.loss, weights, (logits, own_label))
        return loss, logits

    def _step(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, ...]:
        """Return losses, logits and gradients; each trial's activations are freed before the next one's."""
        if shared and image.ndim == 4:
            image = image.contiguous(memory_format=torch.channels_last)  # once for all
        losses, logits = list[Tensor](), list[Tensor]()
        gradients = [torch.empty_like(tensor) for tensor in self.parameters.values()]
        for place in range(self._count):
            parameters = {name: tensor.requires_grad_() for name, tensor in self._slice(place).items()}
            loss, output = self._run(place, parameters, image, label, shared=shared)
            for whole, own in zip(gradients, torch.autograd.grad(loss, list(parameters.values())), strict=True):
                whole[place] = own
            losses.append(loss.detach())
            logits.append(output.detach())
        return torch.stack(losses), torch.stack(logits), *gradients


class LoopedDropout(nn.Dropout):
    """Apply dropout from the random stream of the present trial."""

    streams: RandomStreams

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the factors of dropout; x itself outside training."""
        if not self.training or self.p == 0 or not torch.is_grad_enabled():
            return x
        like = torch.empty(x.shape, dtype=x.dtype, device=x.device)  # numbers are drawn in the order of a single run
        return x * draw_factors(like, [self.streams.generators[self.streams.current]], self.p)[0]


def runs_in_turn(network: nn.Module, device: torch.device) -> bool:
    """Return whether copies of a network step faster in turn than as one stack."""
    return device.type == "cpu" and any(isinstance(module, _ConvNd) for module in network.modules())


def stack_like(networks: Sequence[nn.Module], losses: Sequence[Loss], *, device: torch.device) -> StackedNetwork:
    """Stack networks of one shape."""
    kind = LoopedNetwork if runs_in_turn(networks[0], device) else StackedNetwork
    return kind(networks, losses, device=device)
