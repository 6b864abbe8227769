"""Activations that are computed again give the same bits from less memory."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from copycat.models.activation_checkpointing import checkpoint_activations
from copycat.models.losses import BCE
from copycat.models.networks import CNN, MLP, sequential
from copycat.training.captured_step import is_capturable
from copycat.training.system_memory import measure_peak_bytes

SHAPE = (3, 16, 16)


class Residual(nn.Module):
    """A block with a branch, as of a ResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.layers(x)
        return found


class ResNet(nn.Module):
    """Stages of blocks between layers of their own, inside another module, as a packaged backbone is."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict(
            {
                "stem": nn.Conv2d(3, 8, 3, padding=1),
                "stages": nn.Sequential(nn.Sequential(Residual(8), Residual(8)), nn.Sequential(Residual(8))),
            }
        )
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone["stages"](self.backbone["stem"](x)).mean((2, 3)))
        return logits


class FrozenStatistics(ResNet):
    """Normalize by the running statistics in training too, as a fine-tuned backbone does."""

    def forward(self, x: Tensor) -> Tensor:
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in norms:
            module.training = False
        logits = super().forward(x)
        for module in norms:
            module.training = True
        return logits


def make_cnn(*, batch_norm: bool, dropout: float) -> nn.Module:
    return CNN(
        image_shape=SHAPE,
        channels=[8, 8, 8],
        out_features=1,
        activation=nn.ReLU,
        dropout=dropout,
        batch_norm=batch_norm,
    )


def make_dropout() -> nn.Module:
    """Draw random numbers inside the blocks."""
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 8, 3), nn.RReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 12 * 12, 1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "cnn": (partial(make_cnn, batch_norm=False, dropout=0.0), 3),
    "batch norm, dropout after": (partial(make_cnn, batch_norm=True, dropout=0.5), 3),
    "dropout inside": (make_dropout, 2),
    "blocks": (ResNet, 3),
    "frozen statistics": (FrozenStatistics, 3),
    "sequence": (
        partial(sequential, in_features=768, hidden=[9, 9], out_features=1, activation=nn.Tanh),
        2,
    ),
}
"""How each is made, and its number of blocks."""


def train(network: nn.Module) -> tuple[list[float], dict[str, Tensor]]:
    """Return the losses of three steps, and the state after them."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images, losses = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1)), []
    for seed in range(3):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        loss = (network(images).sigmoid() - 0.3).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, network.state_dict()


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name][0]()


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_weights_and_statistics_have_the_bits_of_the_plain_network(name: str) -> None:
    plain, changed = make(name), make(name)
    assert checkpoint_activations(changed) == NETWORKS[name][1]
    (losses, state), (expected, expected_state) = train(changed), train(plain)
    assert losses == expected
    assert [*state] == [*expected_state]
    assert all(torch.equal(state[key], expected_state[key]) for key in state)
    assert changed.eval()(torch.zeros(1, *SHAPE)).equal(plain.eval()(torch.zeros(1, *SHAPE)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_is_independent_of_the_original(name: str) -> None:
    network = make(name)
    checkpoint_activations(network)
    copied = deepcopy(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert train(copied)[0] == train(make(name))[0]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_less_memory_is_taken_at_once() -> None:
    def measure(*, checkpoints: bool) -> int:
        torch.manual_seed(0)
        blocks = nn.Sequential(*[Residual(8) for _ in range(8)])
        if checkpoints:
            checkpoint_activations(blocks)
        images = torch.rand(16, 8, 32, 32)
        return measure_peak_bytes(lambda: blocks(images).sum().backward())

    assert measure(checkpoints=True) < 0.5 * measure(checkpoints=False)


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(3, 1),
        nn.Sequential(nn.Flatten(), nn.Linear(3, 1)),
        MLP(in_features=3, hidden=[4, 4], out_features=1, activation=nn.ReLU),
    ],
)
def test_a_network_without_blocks_stays_as_it_is(network: nn.Module) -> None:
    assert checkpoint_activations(network) == 0
    assert not any("forward" in vars(module) for module in network.modules())


def test_a_step_that_computes_activations_again_is_not_captured() -> None:
    network, loss = make("cnn"), BCE()
    plain = make_cnn(batch_norm=False, dropout=0.0)
    del network.dropout, plain.dropout
    assert is_capturable(plain, loss)
    checkpoint_activations(network)
    assert not is_capturable(network, loss)
