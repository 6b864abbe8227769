"""Stacked networks and joint optimizers agree with single ones up to rounding."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from copycat.data.sources.cats import Cats
from copycat.models.losses import BCE
from copycat.models.networks import Normalized
from copycat.sweeps.packed.looped_network import LoopedNetwork
from copycat.sweeps.packed.optimizer import ELEMENTWISE, JointOptimizer, Trainable
from copycat.sweeps.packed.stacked_network import StackedNetwork, clip_gradients
from copycat.training.lazy_scheduler import LazyScheduler
from tests.support.parameters import mark_slow


class ConvolutionalNetwork(nn.Module):
    """Combine convolution, batch norm, dropout and a head; smooth, as a rounding error beside a ReLU's kink grows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def make_trainable(network: nn.Module, optimizer: torch.optim.Optimizer, factor: float = 1.0) -> Trainable:
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, factor)
    return Trainable(network, optimizer, LazyScheduler(scheduler), config=factor)


def two_layers(seed: int) -> nn.Sequential:
    """Make three linear layers with the first one frozen."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    network[1].requires_grad_(False)
    return network


RATES = ((0.01, 0.01, 0.01), (0.01, 0.02, 0.01))
FAST = [(kind, rates) for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.Adafactor) for rates in RATES]
ALTERNATING = [(kind, RATES[place % 2]) for place, kind in enumerate(ELEMENTWISE)]


@pytest.mark.parametrize(("kind", "rates"), mark_slow(dict.fromkeys([*FAST, *ALTERNATING]), fast=FAST, unpack=True))
def test_each_trial_of_a_stack_keeps_the_optimizer_and_scheduler_of_a_single_run(
    kind: Any, rates: Sequence[float]
) -> None:
    image, label = torch.rand(16, 3, 4, 4), torch.arange(16) % 2
    rates = sorted(rates)  # trials of one kind lie together

    def make() -> list[Trainable]:
        networks = [two_layers(seed) for seed in range(len(rates))]
        return [
            make_trainable(network, kind(network.parameters(), lr=rate), factor=0.9)
            for network, rate in zip(networks, rates, strict=True)
        ]

    alone, packed = make(), make()
    for trial in alone:
        for _ in range(6):
            trial.optimizer.zero_grad()
            BCE()(trial.network(image), label).backward()
            trial.optimizer.step()
            trial.schedule.step()
    stack = StackedNetwork([trial.network for trial in packed], [BCE() for _ in packed], device=torch.device("cpu"))
    together = JointOptimizer(packed, stack, like=lambda: kind(packed[0].network.parameters(), lr=1.0))
    for step in range(6):
        *_, gradients = stack.step(image, label, shared=True)
        together.step(gradients)
        together.step_schedulers()
        if step == 2:
            for place in range(3):
                together.sync(place)
            stack.keep([0, 1, 2])
            together.set_trials(packed, stack)
    for place, (one, other) in enumerate(zip(alone, packed, strict=True)):
        together.sync(place)
        torch.testing.assert_close(other.network.state_dict(), one.network.state_dict(), rtol=1e-5, atol=1e-6)
        theirs, ours = one.optimizer.state_dict(), other.optimizer.state_dict()
        torch.testing.assert_close(ours["state"], theirs["state"], rtol=1e-4, atol=1e-6)
        assert ours["param_groups"] == theirs["param_groups"]
        assert other.schedule.scheduler.state_dict() == one.schedule.scheduler.state_dict()


@pytest.mark.parametrize("by_norm", [True, False])
def test_gradients_are_clipped_per_trial(by_norm: bool) -> None:
    gradients = [torch.randn(3, 4, 5), torch.randn(3, 4) * torch.tensor([[0.01], [1.0], [9.0]])]
    found = clip_gradients(gradients, 0.5, by_norm=by_norm)
    clip = torch.nn.utils.clip_grad_norm_ if by_norm else torch.nn.utils.clip_grad_value_
    for place in range(3):
        alone = [nn.Parameter(torch.zeros_like(gradient[place])) for gradient in gradients]
        for parameter, gradient in zip(alone, gradients, strict=True):
            parameter.grad = gradient[place].clone()
        clip(alone, 0.5)
        for parameter, gradient in zip(alone, found, strict=True):
            torch.testing.assert_close(gradient[place], parameter.grad)


@pytest.mark.parametrize("network_kind", [StackedNetwork, LoopedNetwork])
def test_batch_norm_and_dropout_are_separate_per_trial(network_kind: type[StackedNetwork]) -> None:
    image, label = torch.rand(16, 3, 8, 8), torch.arange(16) % 2
    seeds = [5, 6, 7]

    def make(seed: int) -> ConvolutionalNetwork:
        torch.manual_seed(seed)
        return ConvolutionalNetwork()

    def optimizer(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=0.1)

    alone, packed = [make(seed) for seed in seeds], [make(seed) for seed in seeds]
    for seed, network in zip(seeds, alone, strict=True):
        steps = optimizer(network)
        for step in range(5):
            torch.manual_seed(100 * seed + step)
            steps.zero_grad()
            BCE()(network(image), label).backward()
            steps.step()
    stack = network_kind(packed, [BCE() for _ in packed], device=torch.device("cpu"))
    trained = [make_trainable(network, optimizer(network)) for network in packed]
    together = JointOptimizer(trained, stack, like=lambda: optimizer(packed[0]))
    for step in range(5):
        stack.streams.seed([100 * seed + step for seed in seeds])
        *_, gradients = stack.step(image, label, shared=True)
        together.step(gradients)
        if step == 2:  # a trial leaves, and comes back as it was: the others do not notice
            stack.keep([0, 1, 2])
            together.set_trials(trained, stack)
    for one, other in zip(alone, packed, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.allclose(tensor, other.state_dict()[name], rtol=1e-5, atol=1e-6), name


class LargestOutput(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keep the greatest number of values that an operation returned."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **kwargs or {})
        self.values = max(self.values, output.numel() if isinstance(output, Tensor) else 0)
        return output


@pytest.mark.parametrize(("stds", "batches"), [((0.2, 0.2), 1), ((0.2, 0.3), 2)])
def test_trials_that_normalize_alike_share_the_normalized_batch(stds: Sequence[float], batches: int) -> None:
    image, label = torch.rand(16, 3, 4, 4), torch.arange(16) % 2
    networks = [Normalized(two_layers(place), mean=[0.5], std=[std]) for place, std in enumerate(stds)]
    alone = [BCE()(network(image), label).item() for network in networks]
    stack = StackedNetwork(networks, [BCE() for _ in networks], device=torch.device("cpu"))
    with LargestOutput() as largest:  # type: ignore[no-untyped-call]
        losses, _ = stack(image, label, shared=True)
    assert losses.tolist() == pytest.approx(alone)
    assert largest.values == batches * image.numel()


def test_where_a_trial_is_unstable_its_rows_in_another_order_drift_as_far(cats_folder: Path) -> None:
    """Compare drifts: at the edge of stability rounding errors grow from step to step, in a pack or not."""
    part = Cats(root=str(cats_folder)).load()["train"]
    assert isinstance(part.images, Tensor)
    image, label = part.images.float().div(255), part.labels

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(12288, 1))

    def alone(rows: Tensor) -> list[float]:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        found = []
        for _ in range(100):
            loss = BCE()(model(image[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    packed = [network() for _ in range(4)]
    stack = StackedNetwork(packed, [BCE() for _ in packed], device=torch.device("cpu"))
    trained = [make_trainable(model, torch.optim.SGD(model.parameters(), lr=1e-2)) for model in packed]
    together = JointOptimizer(trained, stack, like=lambda: torch.optim.SGD(packed[0].parameters(), lr=1e-2))
    of_pack = []
    for _ in range(100):
        found, _, gradients = stack.step(image, label, shared=True)
        together.step(gradients)
        of_pack.append(found[0].item())
    reference = np.array(alone(torch.arange(len(label))))
    permuted = np.array(alone(torch.randperm(len(label), generator=torch.Generator().manual_seed(1))))
    drift_of_pack = np.abs(np.array(of_pack) / reference - 1).max()
    drift_of_order = np.abs(permuted / reference - 1).max()
    assert drift_of_order > 1e-5
    assert drift_of_pack < 100 * drift_of_order
