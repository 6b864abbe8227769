"""Layers of a stacked network: one matrix product for all trials, and dropout from one random stream per trial."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Dims = tuple[int | None, ...]


class StackedLinearFunction(torch.autograd.Function):
    """Compute F.linear, with one product for vmap over weights; torch's rule would copy a batch that trials share.

    Autograd differentiates the operations of `vmap`, so there is no backward.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return F.linear outside vmap."""
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Store nothing."""

    @staticmethod
    def vmap(info: Any, in_dims: Dims, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, int]:
        """Compute it for x [..., I] of all trials or [trials, ..., I], weight [trials, O, I] and bias [trials, O]."""
        trials, width, features = weight.shape
        if in_dims[0] is None:
            joined = None if bias is None else bias.reshape(-1)
            wide = weight.reshape(trials * width, features)
            y: Tensor = WideLinearFunction.apply(x.reshape(-1, features), wide, joined)  # type: ignore[no-untyped-call]
            y = y.reshape(*x.shape[:-1], trials * width)
            return y.reshape(*y.shape[:-1], trials, width), y.ndim - 1
        x = x.movedim(in_dims[0], 0)
        flat, across = x.reshape(trials, -1, features), weight.transpose(1, 2)
        y = torch.bmm(flat, across) if bias is None else torch.baddbmm(bias[:, None], flat, across)
        return y.reshape(*x.shape[:-1], width), 0


class WideLinearFunction(torch.autograd.Function):
    """Compute F.linear of [N, I], with `product` in the forward and backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return [N, O] of x [N, I] and weight [O, I]."""
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight and bias."""
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        needs = ctx.needs_input_grad
        return (
            gradient @ weight if needs[0] else None,
            product(gradient.t().contiguous(), x.t()) if needs[1] else None,
            gradient.sum(0) if needs[2] else None,
        )


class SpanFunction(torch.autograd.Function):
    """Compute outputs of units from coordinates; the gradient is in coordinates too."""

    @staticmethod
    def forward(ctx: Any, coordinates: Tensor, gram: Tensor, start: Tensor) -> Tensor:
        """Return float32 [B, units]."""
        return torch.addmm(start * coordinates[:, -1], gram, coordinates[:, :-1].t()).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient's factors of the images of the batch, which are all images in their order."""
        return torch.nn.functional.pad(gradients[0].t().double(), (0, 1)), None, None


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute F.linear, [N, I] and [O, I] -> [N, O], by oneDNN if possible.

    For wide matrices oneDNN takes from half to two thirds of the time of MKL, torch's default, above all on AMD
    processors.
    """
    if a.device.type == "cpu" and a.dtype == torch.float32 and HAS_ONEDNN:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
        return y
    return F.linear(a, b, bias)


HAS_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


class StackedLinear(nn.Linear):
    """Apply the linear layers of all trials."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., O] of x [..., I], for each trial under vmap."""
        y: Tensor = StackedLinearFunction.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y


class RandomStreams:
    """Hold a random stream per trial, and the place of the present trial under vmap."""

    def __init__(self, count: int, device: torch.device) -> None:
        """Make `count` streams."""
        self.generators = [torch.Generator(device) for _ in range(count)]
        self.places = torch.arange(count, device=device)
        self.place: Tensor | None = None
        """The trial's place, inside vmap."""

    def keep(self, places: Sequence[int]) -> None:
        """Drop the streams of all trials but these."""
        self.generators = [self.generators[place] for place in places]
        self.places = torch.arange(len(places), device=self.places.device)

    def seed(self, seeds: Sequence[int]) -> None:
        """Seed each stream, as a single run seeds torch's."""
        for generator, seed in zip(self.generators, seeds, strict=True):
            generator.manual_seed(seed)


class Noise(torch.autograd.Function):
    """Draw the factors of dropout for each trial from its own stream, with the numbers of a single run.

    It is always called under vmap, so there is no forward.
    """

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Store nothing."""

    @staticmethod
    def vmap(
        info: Any, in_dims: Dims, x: Tensor, place: Tensor, streams: RandomStreams, p: float
    ) -> tuple[Tensor, int]:
        """Return factors [trials, ...] of zeros and 1 / (1 - p)."""
        one = x if in_dims[0] is None else x.select(in_dims[0], 0)
        return draw_factors(one, streams.generators, p), 0


def draw_factors(like: Tensor, generators: Sequence[torch.Generator], p: float) -> Tensor:
    """Draw factors of dropout from each stream: [streams, ...] of zeros and 1 / (1 - p)."""
    if like.device.type == "cuda":
        return torch.stack(_draw_on_cuda(like, generators, p))
    drawn = [torch.empty_like(like).bernoulli_(1 - p, generator=g) for g in generators]
    return torch.stack(drawn).div_(1 - p)


def _draw_on_cuda(like: Tensor, generators: Sequence[torch.Generator], p: float) -> list[Tensor]:
    """Draw by CUDA's own dropout, since it orders random numbers differently and uses the default stream alone."""
    device, ones, drawn = torch.cuda.default_generators[like.device.index], like.new_ones(like.shape), []
    for generator in generators:
        device.set_state(generator.get_state())
        drawn.append(torch.native_dropout(ones, p, True)[0])
        generator.set_state(device.get_state())
    return drawn


class StackedDropout(nn.Dropout):
    """Apply dropout with one random stream per trial."""

    streams: RandomStreams

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the factors of dropout; x itself outside training."""
        if not self.training or self.p == 0 or not torch.is_grad_enabled():
            return x
        noise: Tensor = Noise.apply(x.detach(), self.streams.place, self.streams, self.p)  # type: ignore[no-untyped-call]
        return x * noise


def replace_layers(network: nn.Module, streams: RandomStreams) -> None:
    """Replace torch's layers by those above, in the network that runs all trials."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = StackedLinear
        elif type(module) is nn.Dropout:
            module.__class__ = StackedDropout
            module.streams = streams  # type: ignore[assignment]
