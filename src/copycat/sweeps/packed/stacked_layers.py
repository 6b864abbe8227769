"""Layers that many trials share: one matrix product for all of them, and dropout from a stream for each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Dims = tuple[int | None, ...]


class Product(torch.autograd.Function):
    """F.linear, whose vmap over weights is one product; torch's own would copy a batch that all trials share.

    Autograd goes through the operations of the rule, so there is no backward here.
    """

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(info: Any, in_dims: Dims, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, int]:
        """X [..., I] of all trials or [trials, ..., I], weight [trials, O, I], bias [trials, O]."""
        trials, width, features = weight.shape
        if in_dims[0] is None:
            joined = None if bias is None else bias.reshape(-1)
            wide = weight.reshape(trials * width, features)
            y: Tensor = Wide.apply(x.reshape(-1, features), wide, joined)  # type: ignore[no-untyped-call]
            y = y.reshape(*x.shape[:-1], trials * width)
            return y.reshape(*y.shape[:-1], trials, width), y.ndim - 1
        x = x.movedim(in_dims[0], 0)
        flat, across = x.reshape(trials, -1, features), weight.transpose(1, 2)
        y = torch.bmm(flat, across) if bias is None else torch.baddbmm(bias[:, None], flat, across)
        return y.reshape(*x.shape[:-1], width), 0


class Wide(torch.autograd.Function):
    """F.linear of [N, I], whose products, forward and backward, are those of `product`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        needs = ctx.needs_input_grad
        return (
            gradient @ weight if needs[0] else None,
            product(gradient.t().contiguous(), x.t()) if needs[1] else None,
            gradient.sum(0) if needs[2] else None,
        )


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear: [N, I] and [O, I] -> [N, O].

    oneDNN's product of wide matrices takes from half to two thirds of the time that MKL's takes, on AMD's processors
    above all; torch asks MKL where it is not told otherwise.
    """
    if a.device.type == "cpu" and a.dtype == torch.float32 and ONEDNN:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
        return y
    return F.linear(a, b, bias)


ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """Of a network that stands for all trials."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Product.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y


class Streams:
    """A random stream for each trial, and which trial is which under vmap."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.generators = [torch.Generator(device) for _ in range(count)]
        self.places = torch.arange(count, device=device)
        self.here: Tensor | None = None
        """The trial's place, inside vmap."""

    def keep(self, kept: Sequence[int]) -> None:
        self.generators = [self.generators[place] for place in kept]
        self.places = torch.arange(len(kept), device=self.places.device)

    def seed(self, seeds: Sequence[int]) -> None:
        """Begin each stream, as a trial alone begins torch's."""
        for generator, seed in zip(self.generators, seeds, strict=True):
            generator.manual_seed(seed)


class Noise(torch.autograd.Function):
    """What dropout multiplies by: for each trial drawn from its own stream, the numbers that it draws alone."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, place: Tensor, streams: Streams, share: float) -> Tensor:
        raise AssertionError("it is always called under vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(info: Any, in_dims: Dims, x: Tensor, place: Tensor, streams: Streams, share: float) -> tuple[Tensor, int]:
        one = x if in_dims[0] is None else x.select(in_dims[0], 0)
        if one.device.type == "cuda":
            return torch.stack(_drawn_by_cuda(one, streams.generators, share)), 0
        drawn = [torch.empty_like(one).bernoulli_(1 - share, generator=g) for g in streams.generators]
        return torch.stack(drawn).div_(1 - share), 0


def _drawn_by_cuda(like: Tensor, generators: Sequence[torch.Generator], share: float) -> list[Tensor]:
    """Its dropout takes the numbers of a stream in an order of its own, and of the device's own stream alone."""
    device, ones, drawn = torch.cuda.default_generators[like.device.index], like.new_ones(like.shape), []
    for generator in generators:
        device.set_state(generator.get_state())
        drawn.append(torch.native_dropout(ones, share, True)[0])
        generator.set_state(device.get_state())
    return drawn


class Dropout(nn.Dropout):
    """Of a network that stands for all trials."""

    streams: Streams

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0 or not torch.is_grad_enabled():
            return x
        noise: Tensor = Noise.apply(x.detach(), self.streams.here, self.streams, self.p)  # type: ignore[no-untyped-call]
        return x * noise


def shared(network: nn.Module, streams: Streams) -> None:
    """Put the layers above in the place of torch's, in a network that stands for all trials."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
        elif type(module) is nn.Dropout:
            module.__class__ = Dropout
            module.streams = streams  # type: ignore[assignment]
