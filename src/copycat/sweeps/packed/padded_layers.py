"""Run networks that differ in widths alone, with the layers behind their first one padded to the greatest width."""

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from copycat.sweeps.packed.layer_chain import Chain
from copycat.sweeps.packed.stacked_layers import draw_factors


class PaddedLayers:
    """Hold the layers of trials whose networks have the same depth and activations.

    The weights of a layer behind the first one are one tensor [trials, greatest output, greatest input], with zeros
    beyond a trial's own rows and columns. These stay zero: `masked_fill` drops the outputs of units that a trial does
    not have, so that nothing has a gradient there.
    """

    def __init__(self, chains: Sequence[Chain], *, start: int, device: torch.device) -> None:
        """Hold the trials of a pack from place `start` on."""
        self.start, self.count = start, len(chains)
        self.names = [name for name, _ in chains[0].linear]
        self.layers = [None if isinstance(layer, nn.Linear) else copy.deepcopy(layer) for layer in chains[0].layers]
        """None stands for a linear layer."""
        self.widths = [[linear.out_features for _, linear in chain.linear] for chain in chains]
        """Outputs of each linear layer, by trial."""
        widest = [max(each) for each in zip(*self.widths, strict=True)]
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Shapes of the padded parameters, by name."""
        for name, inputs, outputs in zip(self.names[1:], widest, widest[1:], strict=False):
            self.shapes[f"{name}.weight"] = self.count, outputs, inputs
            self.shapes[f"{name}.bias"] = self.count, outputs
        self._missing = [self._find_missing(layer, device) for layer in range(len(widest))]
        self._gather, self._own = self._find_units(widest[0], device)

    def _find_missing(self, layer: int, device: torch.device) -> Tensor | None:
        """Return which units of a layer a trial does not have, [trials, 1, greatest width]; None if all have all."""
        own = torch.tensor([widths[layer] for widths in self.widths])
        missing = torch.arange(int(own.max())) >= own[:, None]
        return missing[:, None].to(device) if missing.any() else None

    def _find_units(self, widest: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the units of the first layers, side by side, that pad them; and where the units are after that.

        A trial is padded with a unit of its own, since another trial's might diverge.
        """
        gather, own = list[int](), list[int]()
        for place, (start, width) in enumerate(zip(self.starts, (w[0] for w in self.widths), strict=True)):
            gather += [start + unit if unit < width else start for unit in range(widest)]
            own += range(place * widest, place * widest + width)
        return torch.tensor(gather, device=device), torch.tensor(own, device=device)

    @property
    def starts(self) -> list[int]:
        """Return the first unit of each trial, where the units of all first layers lie side by side."""
        return list(accumulate((widths[0] for widths in self.widths[:-1]), initial=0))

    @property
    def units(self) -> int:
        """Return the number of units of all first layers."""
        return sum(widths[0] for widths in self.widths)

    def run(self, first: Tensor, parameters: Mapping[str, Tensor], generators: Sequence[torch.Generator]) -> Tensor:
        """Return logits [trials, B, out] from the outputs of the first layers, [B, units].

        `parameters` are the padded ones by name, and `generators` draw the dropout of each trial.
        """
        padded: Tensor = first
        if self._missing[0] is not None:
            padded = PadFunction.apply(first, self._gather, self._own)  # type: ignore[no-untyped-call]
        x, depth = padded.view(len(first), self.count, -1).transpose(0, 1), 0
        for layer in self.layers[1:]:
            if layer is None:
                if (missing := self._missing[depth]) is not None:
                    x = x.masked_fill(missing, 0.0)
                depth += 1
                weight, bias = (parameters[f"{self.names[depth]}.{kind}"] for kind in ("weight", "bias"))
                x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
            elif isinstance(layer, nn.Dropout):
                x = self._drop(x, layer, depth, generators)
            else:
                x = layer(x)
        return x

    def _drop(self, x: Tensor, layer: nn.Dropout, depth: int, generators: Sequence[torch.Generator]) -> Tensor:
        """Apply dropout, with the numbers that each trial draws alone."""
        if not layer.training or layer.p == 0 or not torch.is_grad_enabled():
            return x
        factors = x.new_zeros(x.shape)
        for place, (widths, generator) in enumerate(zip(self.widths, generators, strict=True)):
            like = x.new_empty(x.shape[1], widths[depth])
            factors[place, :, : widths[depth]] = draw_factors(like, [generator], layer.p)[0]
        return x * factors


class PadFunction(torch.autograd.Function):
    """Repeat units in place of those that a trial does not have; what comes back for a repeated one is dropped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gather: Tensor, own: Tensor) -> Tensor:
        """Return [B, trials × greatest width] of x [B, units]."""
        ctx.save_for_backward(own)
        return x.index_select(1, gather)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of x."""
        return gradients[0].index_select(1, ctx.saved_tensors[0]), None, None
