"""Run chains of linear layers of unlike widths and depths as one: their first layers are one matrix product."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from copycat.models.losses import Loss
from copycat.sweeps.packed.layer_chain import Chain, read_chain
from copycat.sweeps.packed.looped_network import stack_like
from copycat.sweeps.packed.padded_layers import PaddedLayers
from copycat.sweeps.packed.parameter_location import ParameterLocation
from copycat.sweeps.packed.span import Span
from copycat.sweeps.packed.stacked_layers import WideLinearFunction
from copycat.sweeps.packed.stacked_network import NamedTensors, StackedNetwork
from copycat.training.captured_step import is_capturable

FIRST = "first."
"""Prefix of the parameters of all first layers, whose units lie side by side."""
REFERENCE, WEIGHT = "reference", "weight"
"""First weights of a trial, and their present coordinates."""


class UnlikeNetwork(StackedNetwork):
    """Run networks that are chains of layers; those of one kind lie together, and form a `PaddedLayers`.

    The weights of all first layers are one matrix [units, N], so that the images are read once. The other layers of a
    group are padded to its greatest width. A network's own parameters are views, without padding.

    Where `images` are given, which every step sees, the first layers are trained by coordinates in their `Span`, and
    the networks' own first weights are up to date after `refresh`. `states` are the trials' coordinates: those of a
    resumed trial, else empty, and its own from then on.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        losses: Sequence[Loss],
        *,
        kinds: Sequence[str],
        device: torch.device,
        images: Tensor | None = None,
        states: Sequence[NamedTensors] = (),
    ) -> None:
        """Stack the parameters on the device; `kinds` has the kind of each network's chain."""
        self._kinds = kinds
        self._images, self._states = None if images is None else images.to(device), states
        self.span: Span | None = None
        super().__init__(networks, losses, device=device)

    def _prepare(self) -> bool:
        self._chains = chains = _read_chains(self.networks, self._kinds)
        starts = [0, *accumulate(chain.linear[0][1].out_features for chain in chains)]
        self._rows = [slice(start, stop) for start, stop in pairwise(starts)]
        """Units of each trial's first layer."""
        device = self.streams.places.device
        sizes = torch.tensor([rows.stop - rows.start for rows in self._rows])
        self._trial_of_unit = torch.arange(len(chains)).repeat_interleave(sizes).to(device)
        self.groups = list[PaddedLayers]()
        for _, like in groupby(chains, key=lambda chain: chain.kind):
            start = sum(each.count for each in self.groups)
            self.groups.append(PaddedLayers(list(like), start=start, device=device))
        self.modules = [layer for group in self.groups for layer in group.layers if layer is not None]
        self._locations = [self._locate_parameters(chain, place) for place, chain in enumerate(chains)]
        return is_capturable(nn.ModuleList(self.modules), self.loss)

    def _locate_parameters(self, chain: Chain, place: int) -> dict[str, ParameterLocation]:
        number = next(n for n, group in enumerate(self.groups) if place < group.start + group.count)
        group = self.groups[number]
        row = place - group.start
        locations = dict[str, ParameterLocation]()
        for layer, (name, linear) in enumerate(chain.linear):
            own = slice(linear.out_features), slice(linear.in_features)
            for kind, index in (("weight", own), ("bias", own[:1])):
                location = ParameterLocation(f"{number}.{name}.{kind}", slice(row, row + 1), index)
                locations[f"{name}.{kind}"] = location if layer else ParameterLocation(FIRST + kind, self._rows[place])
        return locations

    def _stack_parameters(self) -> None:
        first = [chain.linear[0][1] for chain in self._chains]
        self.parameters: NamedTensors = {
            f"{FIRST}weight": torch.cat([linear.weight.detach() for linear in first]),
            f"{FIRST}bias": torch.cat([linear.bias.detach() for linear in first]),
        }
        for number, group in enumerate(self.groups):
            like = first[0].weight
            self.parameters |= {f"{number}.{name}": like.new_zeros(shape) for name, shape in group.shapes.items()}
        self.frozen: NamedTensors = {}
        for place, network in enumerate(self.networks):
            for name, parameter in network.named_parameters():
                location = self._locations[place][name]
                view = location.view(self.parameters[location.key].detach())
                parameter.data = view.copy_(parameter.detach())
        if self._images is not None:
            self._enter_span(self._images)
        for tensor in self.parameters.values():
            tensor.requires_grad_()
        self._capture_anew()

    def _enter_span(self, images: Tensor) -> None:
        """Replace the first weights by coordinates; they themselves stay where the networks see them."""
        self._first_weights = self.parameters[f"{FIRST}weight"]
        for rows, state in zip(self._rows, self._states, strict=True):
            state.setdefault(REFERENCE, self._first_weights[rows].clone())
        self.span = Span(images, torch.cat([state[REFERENCE].to(images.device) for state in self._states]))
        coordinates = self._first_weights.new_zeros(len(self._first_weights), len(images) + 1, dtype=torch.float64)
        coordinates[:, -1] = 1
        for rows, state in zip(self._rows, self._states, strict=True):
            if WEIGHT in state:
                coordinates[rows] = state[WEIGHT].to(images.device)
            state[WEIGHT] = coordinates[rows]
        self.parameters[f"{FIRST}weight"] = coordinates

    def refresh(self, place: int) -> None:
        """Update the first weights of a trial's network to the present step."""
        if self.span is not None:
            rows = self._rows[place]
            self._first_weights[rows] = self.span.expand(self.parameters[f"{FIRST}weight"].detach()[rows], rows)

    def pack_state(self, name: str, place: int, states: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a trial's optimizer state of a parameter in the form that the pack steps."""
        if self.span is None or self.locate(name, place).key != f"{FIRST}weight":
            return states
        return {n: self._states[place][n] if isinstance(v, Tensor) and v.ndim > 1 else v for n, v in states.items()}

    def unpack_state(self, name: str, place: int, states: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a trial's own optimizer state from what the pack steps."""
        if self.span is None or self.locate(name, place).key != f"{FIRST}weight":
            return states
        matrices = {n: v for n, v in states.items() if isinstance(v, Tensor) and v.ndim > 1}
        self._states[place].update(matrices)
        return {**states, **{n: self.span.expand(v, self._rows[place]) for n, v in matrices.items()}}

    def locate(self, name: str, place: int) -> ParameterLocation:
        """Return where a trial's parameter lies."""
        return self._locations[place][name]

    def keep(self, places: Sequence[int]) -> StackedNetwork:
        """Return a stack of these trials alone."""
        networks, losses = [self.networks[place] for place in places], [self._losses[place] for place in places]
        kinds, device = [self._kinds[place] for place in places], self.streams.places.device
        if self.span is not None:
            states = [self._states[place] for place in places]
            return UnlikeNetwork(networks, losses, kinds=kinds, device=device, images=self._images, states=states)
        return stack_networks(networks, losses, kinds=kinds, device=device)

    def __call__(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, Tensor]:
        """Return losses [trials] and logits [trials, B, out], as `StackedNetwork` does."""
        first = torch.split(self._read_images(image, shared=shared), [group.units for group in self.groups], dim=1)
        outputs = []
        for number, group in enumerate(self.groups):
            parameters = {name: self.parameters[f"{number}.{name}"] for name in group.shapes}
            generators = self.streams.generators[group.start : group.start + group.count]
            outputs.append(group.run(first[number], parameters, generators))
        logits = torch.cat(outputs)
        dims = None if self.weights is None else 0, 0, None if shared else 0
        losses: Tensor = vmap(self._compute_loss, in_dims=dims, randomness="error")(self.weights, logits, label)
        return losses, logits

    def _read_images(self, image: Tensor, *, shared: bool) -> Tensor:
        """Return the outputs of all first layers, [B, units]."""
        weight, bias = (self.parameters[FIRST + kind] for kind in ("weight", "bias"))
        if self.span is not None:
            return self.span.outputs(weight, image) + bias
        if shared:
            y: Tensor = WideLinearFunction.apply(image.flatten(1), weight, bias)  # type: ignore[no-untyped-call]
            return y
        sizes = [rows.stop - rows.start for rows in self._rows]
        each = zip(image.flatten(2).unbind(), torch.split(weight, sizes), torch.split(bias, sizes), strict=True)
        return torch.cat([WideLinearFunction.apply(*own) for own in each], 1)  # type: ignore[no-untyped-call]

    def _compute_loss(self, weight: Tensor | None, logits: Tensor, label: Tensor) -> Tensor:
        if weight is None:
            loss: Tensor = self.loss(logits, label)
            return loss
        weighted: Tensor = functional_call(self.loss, {"class_weights": weight}, (logits, label))
        return weighted

    @property
    def tensors(self) -> NamedTensors:
        """Return the parameters of all trials."""
        return {key: tensor.detach() for key, tensor in self.parameters.items()}

    def norms(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the norm over all tensors of each trial, [trials]; they are named as parameters are."""
        squares = torch.zeros(len(self.networks), device=self.streams.places.device)
        for key, tensor in tensors.items():
            squares += self._square_norms(key, tensor)
        return torch.sqrt(squares)

    def _square_norms(self, key: str, tensor: Tensor) -> Tensor:
        if self.span is not None and key == f"{FIRST}weight":
            each: Tensor = self.span.square_norms(tensor)
        else:
            each = torch.linalg.vector_norm(tensor.reshape(len(tensor), -1), dim=1).square()
        squares: Tensor = each.new_zeros(len(self.networks))
        if key.startswith(FIRST):
            return squares.index_add_(0, self._trial_of_unit, each)
        group = self.groups[int(key.split(".")[0])]
        squares[group.start : group.start + group.count] = each
        return squares

    def weight_norms(self, names: Iterable[str]) -> tuple[Tensor, NamedTensors]:
        """Return the norm over all weights of each trial, [trials], and those of single parameters: NaN without it."""
        squares = {key: self._square_norms(key, tensor) for key, tensor in self.tensors.items()}
        norms: NamedTensors = {}
        for name in names:
            norms[name] = squares[f"{FIRST}weight"].new_full((len(self.networks),), float("nan"))
            for place, location in ((place, locations.get(name)) for place, locations in enumerate(self._locations)):
                if location is not None:
                    norms[name][place] = squares[location.key][place].sqrt()
        return torch.stack(list(squares.values())).sum(0).sqrt(), norms

    def clip(self, gradients: Sequence[Tensor], most: float, *, by_norm: bool) -> list[Tensor]:
        """Clip each trial's gradients, as torch.nn.utils.clip_grad_norm_ or clip_grad_value_ do."""
        if not by_norm:
            return [gradient.clamp(-most, most) for gradient in gradients]
        named = dict(zip(self.parameters, gradients, strict=True))
        factors = (most / (self.norms(named) + 1e-6)).clamp(max=1.0)
        clipped = []
        for key, gradient in named.items():
            if key.startswith(FIRST):
                own = factors[self._trial_of_unit]
            else:
                group = self.groups[int(key.split(".")[0])]
                own = factors[group.start : group.start + group.count]
            clipped.append(gradient * own.view(-1, *[1] * (gradient.ndim - 1)))
        return clipped


def _read_chains(networks: Sequence[nn.Module], kinds: Sequence[str]) -> list[Chain]:
    """Return the chain of each network; one of each kind is read, since that traces a pass."""
    known = dict[str, Chain]()
    for network, kind in zip(networks, kinds, strict=True):
        if kind not in known:
            chain = read_chain(network)
            assert chain is not None, "only chains of layers are joined"
            known[kind] = chain
    return [known[kind].of(network) for network, kind in zip(networks, kinds, strict=True)]


def stack_networks(
    networks: Sequence[nn.Module],
    losses: Sequence[Loss],
    *,
    kinds: Sequence[str],
    device: torch.device,
    images: Tensor | None = None,
    states: Sequence[NamedTensors] = (),
) -> StackedNetwork:
    """Stack networks, like ones as one; those that differ in widths or in `kinds` must be chains of layers.

    `images` and `states` are those of `UnlikeNetwork`, which like networks form too where they have kinds and images.
    """
    shapes = [[(name, parameter.shape) for name, parameter in network.named_parameters()] for network in networks]
    is_like = len(set(kinds)) == 1 and all(each == shapes[0] for each in shapes)
    if is_like and (images is None or not kinds[0]):
        return stack_like(networks, losses, device=device)
    return UnlikeNetwork(networks, losses, kinds=kinds, device=device, images=images, states=states)
