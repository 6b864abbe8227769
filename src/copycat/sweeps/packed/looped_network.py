"""Step convolutional networks of one shape on a CPU, each in one thread, on the same batch."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from copycat.models.losses import Loss
from copycat.sweeps.packed.stacked_layers import RandomStreams, draw_factors
from copycat.sweeps.packed.stacked_network import NamedTensors, StackedNetwork
from copycat.training.captured_step import HOOKS

Found = TypeVar("Found")


class LoopedDropout(nn.Dropout):
    """Apply dropout from the random stream of the trial at place `current`."""

    streams: RandomStreams
    current: int

    def forward(self, x: Tensor) -> Tensor:
        """Return x times the factors of dropout; x itself outside training."""
        if not self.training or self.p == 0 or not torch.is_grad_enabled():
            return x
        like = torch.empty(x.shape, dtype=x.dtype, device=x.device)  # numbers are drawn in the order of a single run
        return x * draw_factors(like, [self.streams.generators[self.current]], self.p)[0]


class Worker:
    """Hold the copy of the network and of the loss by which one thread runs trials, one after the other."""

    def __init__(self, network: nn.Module, loss: Loss, streams: RandomStreams) -> None:
        """Copy network and loss."""
        self.network, self.loss = copy.deepcopy(network), copy.deepcopy(loss)
        pool_before_relu(self.network)
        self.dropouts = list[LoopedDropout]()
        for module in self.network.modules():
            if type(module) is nn.Dropout:
                module.__class__ = LoopedDropout
                assert isinstance(module, LoopedDropout)
                module.streams = streams
                self.dropouts.append(module)


class LoopedNetwork(StackedNetwork):
    """Run networks one by one, images in torch.channels_last; parameters are stacked, and updated as those of a stack.

    On a CPU, vmap turns the convolutions of several trials into grouped ones, which take longer than one after the
    other; channels_last takes about two thirds of their time. As many trials run at a time as torch has threads, each
    in one: several threads of one small convolution wait for each other.
    """

    _pool: ThreadPoolExecutor | None = None

    def _prepare(self) -> bool:
        self.workers = [Worker(self.networks[0], self.loss, self.streams) for _ in range(torch.get_num_threads())]
        self.modules = [module for worker in self.workers for module in (*worker.network.modules(), worker.loss)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self._idle.put(worker)
        return False

    def __call__(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, Tensor]:
        """Return losses [trials] and logits [trials, B, out], as `StackedNetwork` does."""
        found = self._map(lambda worker, place: self._run(worker, place, self._slice(place), image, label, shared))
        losses, logits = zip(*found, strict=True)
        return torch.stack(losses), torch.stack(logits)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Start the threads of trials, and let this one run alone: OpenMP's others would wait for it by spinning."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(len(self.workers), "trials", torch.set_num_threads, (1,)) as self._pool:
                yield
        finally:
            self._pool = None
            torch.set_num_threads(threads)

    def _map(self, run: Callable[[Worker, int], Found]) -> list[Found]:
        """Call `run` for each trial, in the modes of this thread, and return the results."""
        if self._pool is None:
            with self.threads():
                return self._map(run)
        inference, has_gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def call(place: int) -> Found:
            worker = self._idle.get()
            try:
                with torch.inference_mode(inference), torch.set_grad_enabled(has_gradients):
                    return run(worker, place)
            finally:
                self._idle.put(worker)

        return list(self._pool.map(call, range(len(self.networks))))

    def _slice(self, place: int) -> NamedTensors:
        return {name: tensor.detach()[place] for name, tensor in self.parameters.items()}

    def _run(
        self, worker: Worker, place: int, parameters: NamedTensors, image: Tensor, label: Tensor, shared: bool
    ) -> tuple[Tensor, Tensor]:
        """Return loss and logits of one trial."""
        own_image, own_label = (image, label) if shared else (image[place], label[place])
        for dropout in worker.dropouts:
            dropout.current = place
        frozen = {name: tensor[place] for name, tensor in self.frozen.items()}
        layout = torch.channels_last if own_image.ndim == 4 else torch.contiguous_format
        logits = functional_call(worker.network, (parameters, frozen), (own_image.contiguous(memory_format=layout),))
        weights = {} if self.weights is None else {"class_weights": self.weights[place]}
        loss: Tensor = functional_call(worker.loss, weights, (logits, own_label))
        return loss, logits

    def _step(self, image: Tensor, label: Tensor, *, shared: bool) -> tuple[Tensor, ...]:
        """Return losses, logits and gradients; each trial's activations are freed before the next one's."""
        if shared and image.ndim == 4:
            image = image.contiguous(memory_format=torch.channels_last)  # once for all
        gradients = [torch.empty_like(tensor) for tensor in self.parameters.values()]

        def step(worker: Worker, place: int) -> tuple[Tensor, Tensor]:
            parameters = {name: tensor.requires_grad_() for name, tensor in self._slice(place).items()}
            loss, output = self._run(worker, place, parameters, image, label, shared)
            for whole, own in zip(gradients, torch.autograd.grad(loss, list(parameters.values())), strict=True):
                whole[place] = own
            return loss.detach(), output.detach()

        losses, logits = zip(*self._map(step), strict=True)
        return torch.stack(losses), torch.stack(logits), *gradients


def pool_before_relu(network: nn.Module) -> None:
    """Let each ReLU follow the max pooling behind it, where nothing else sees its output: the same bits, in less time.

    A 2×2 pooling leaves a quarter of the numbers.
    """
    try:
        nodes = list(fx.symbolic_trace(network).graph.nodes)
    except Exception:  # a user's network may raise anything
        return
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in nodes)
    for first, second in pairwise(nodes):
        names = [str(first.target), str(second.target)]
        if {first.op, second.op} != {"call_module"} or list(first.users) != [second]:
            continue
        relu, pool = (modules[name] for name in names)
        has_hooks = any(getattr(module, name) for module in (relu, pool) for name in HOOKS)
        is_pair = type(relu) is nn.ReLU and type(pool) is nn.MaxPool2d and not pool.return_indices
        if is_pair and not has_hooks and all(calls[name] == 1 for name in names):
            for name, module in zip(names, (pool, relu), strict=True):
                parent, _, leaf = name.rpartition(".")
                setattr(network.get_submodule(parent), leaf, module)


def runs_in_turn(network: nn.Module, device: torch.device) -> bool:
    """Return whether copies of a network step faster one by one than as one stack."""
    return device.type == "cpu" and any(isinstance(module, _ConvNd) for module in network.modules())


def stack_like(networks: Sequence[nn.Module], losses: Sequence[Loss], *, device: torch.device) -> StackedNetwork:
    """Stack networks of one shape."""
    kind = LoopedNetwork if runs_in_turn(networks[0], device) else StackedNetwork
    return kind(networks, losses, device=device)
