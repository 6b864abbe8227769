"""Convolutional networks of a pack run in one thread each: the number of threads shows in no bit."""

import copy
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from copycat.models.losses import BCE
from copycat.models.networks import CNN
from copycat.sweeps.packed.looped_network import LoopedNetwork, pool_before_relu, stack_like
from copycat.sweeps.packed.stacked_network import StackedNetwork

CPU = torch.device("cpu")


def make_cnn(*, batch_norm: bool = False) -> CNN:
    return CNN(
        image_shape=(3, 16, 16), channels=[4, 6], out_features=1, activation=nn.ReLU, dropout=0.3, batch_norm=batch_norm
    )


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_networks_with_convolutions_run_one_by_one_and_others_as_one() -> None:
    stack = partial(stack_like, losses=[BCE(), BCE()], device=CPU)
    assert type(stack([make_cnn(), make_cnn()])) is LoopedNetwork
    assert type(stack([nn.Sequential(nn.Flatten(), nn.Linear(48, 1)) for _ in range(2)])) is StackedNetwork


def test_the_bits_do_not_depend_on_the_number_of_threads(threads: None) -> None:
    image, label = torch.rand(8, 3, 16, 16), torch.arange(8) % 2
    networks = [make_cnn(batch_norm=True) for _ in range(5)]
    found = []
    for number in (1, 3):
        torch.set_num_threads(number)
        stack = LoopedNetwork(copy.deepcopy(networks), [BCE()] * 5, device=CPU)
        stack.streams.seed(range(5))
        losses, logits, gradients = stack.step(image, label, shared=True)
        assert torch.get_num_threads() == number
        with torch.inference_mode():
            found.append([losses, logits, *gradients, *stack(image, label, shared=True), *stack.frozen.values()])
    assert all(torch.equal(one, three) for one, three in zip(*found, strict=True))


def test_the_steps_of_an_epoch_share_their_threads_and_no_other_one_computes(threads: None) -> None:
    torch.set_num_threads(2)
    stack = LoopedNetwork([make_cnn() for _ in range(4)], [BCE()] * 4, device=CPU)
    seen: set[threading.Thread] = set()
    for worker in stack.workers:
        worker.network.register_forward_hook(lambda *_: seen.add(threading.current_thread()))
    with stack.threads():
        for _ in range(5):
            stack.step(torch.rand(8, 3, 16, 16), torch.arange(8) % 2, shared=True)
            assert torch.get_num_threads() == 1
    assert len(seen) <= 2
    assert torch.get_num_threads() == 2
    assert not any(thread.is_alive() for thread in seen)


def test_an_error_in_one_trial_reaches_the_caller_and_the_next_step_runs() -> None:
    stack = LoopedNetwork([make_cnn(), make_cnn()], [BCE(), BCE()], device=CPU)
    with pytest.raises(RuntimeError, match="shapes"):
        stack.step(torch.rand(8, 3, 12, 12), torch.arange(8) % 2, shared=True)
    assert stack.step(torch.rand(8, 3, 16, 16), torch.arange(8) % 2, shared=True)[0].isfinite().all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_pooling_before_relu_has_the_same_bits(batch_norm: bool) -> None:
    image = torch.randn(8, 3, 16, 16).round(decimals=1)  # so that windows have equal numbers
    network = make_cnn(batch_norm=batch_norm).requires_grad_()
    nn.init.zeros_(network.get_parameter("features.0.weight")[1])  # a channel of equal numbers
    other = copy.deepcopy(network)
    pool_before_relu(other)
    kinds = [type(layer).__name__ for layer in other.features]
    assert kinds.index("MaxPool2d") < kinds.index("ReLU")
    assert list(other.state_dict()) == list(network.state_dict())
    found = []
    for each in (network, other):
        torch.manual_seed(0)
        logits = each(image)
        found.append([logits, *torch.autograd.grad(logits.square().sum(), list(each.parameters()))])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


class SkipsPooling(nn.Module):
    """Use what ReLU returns twice."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        active: Tensor = self.relu(x)
        pooled: Tensor = self.pool(active)
        return pooled.flatten(1).sum(1) + active.flatten(1).sum(1)


@pytest.mark.parametrize(
    "network",
    [
        SkipsPooling(),
        nn.Sequential(nn.GELU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(*[nn.ReLU(), nn.MaxPool2d(2)] * 2),
    ],
)
def test_layers_keep_their_order_where_another_one_would_show(network: nn.Module) -> None:
    before = [type(module) for module in network.modules()]
    pool_before_relu(network)
    assert [type(module) for module in network.modules()] == before
