"""A step that is replayed has the bits of one that is taken; and what cannot be replayed is not."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from copycat.models.losses import BCE, MSE, BCEWithLogits, CrossEntropy, Focal, Loss
from copycat.models.networks import Normalized
from copycat.training.captured_step import CapturedStep, is_capturable


def build_convolutions(out: int) -> nn.Module:
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, out)]
    return nn.Sequential(*layers)


def build_layers(out: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, out))


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = {
    "logistic": lambda out: nn.Sequential(nn.Flatten(), nn.Linear(192, out)),
    "normalized": lambda out: Normalized(nn.Sequential(nn.Flatten(), nn.Linear(192, out)), mean=[0.5], std=[0.2]),
    "layers": build_layers,
    "convolutions": build_convolutions,
}
LOSSES: Mapping[str, tuple[Callable[[], Loss], int]] = {
    "bce": (BCE, 1),
    "weighted": (lambda: BCE(class_weights=[1.0, 3.0], reduction="sum"), 1),
    "with_logits": (BCEWithLogits, 1),
    "mse": (MSE, 1),
    "cross_entropy": (CrossEntropy, 2),
    "smoothed": (lambda: BCE(class_weights=[1.0, 3.0], label_smoothing=0.1), 1),
    "focal": (lambda: Focal(class_weights=[1.0, 3.0], label_smoothing=0.1), 1),
    "smoothed cross_entropy": (lambda: CrossEntropy(class_weights=[1.0, 3.0], label_smoothing=0.1), 2),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_replayed_step_has_the_bits_of_one_that_is_taken(network: str, loss: str) -> None:
    torch.manual_seed(1)
    kind, out = LOSSES[loss]
    model, criterion = NETWORKS[network](out), kind()
    assert is_capturable(model, criterion)
    parameters = list(model.parameters())

    def step(image: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        logits = model(image)
        cost = criterion(logits, label)
        gradients = torch.autograd.grad(cost, parameters)
        return (cost.detach(), criterion.probability(logits.detach()), *gradients)

    replay = CapturedStep(step, after=1)
    for size in (7, 209, 7, 209, 7):  # weights change in between
        image, label = torch.rand(size, 3, 8, 8), torch.arange(size) % 2
        replayed = replay(image, label)
        taken = step(image, label)
        if replayed is not None:
            assert all(torch.equal(a, b) for a, b in zip(replayed, taken, strict=True))
            assert not any(tensor.requires_grad for tensor in replayed)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, taken[2:], strict=True):
                parameter.sub_(0.1 * gradient)
    assert replayed is not None


def test_what_depends_on_the_inputs_alone_runs_once_for_the_same_ones_and_again_once_they_change() -> None:
    weight, ran = torch.tensor([2.0]), list[str]()

    class Names(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            ran.append(str(func))
            return func(*args, **(kwargs or {}))

    replay = CapturedStep(lambda image: ((image + 1).exp() * weight,), after=0)
    image, other = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])

    def run(given: Tensor) -> list[str]:
        ran.clear()
        with Names():  # type: ignore[no-untyped-call]
            (found,) = replay(given)
        assert torch.equal(found, (given + 1).exp() * weight)
        return [name.split(".")[1] for name in ran]

    replay(image)
    whole = ["add", "exp", "mul"]
    assert [run(image), run(image)] == [whole, ["mul"]]
    weight += 1
    assert run(image) == ["mul"]
    image += 1
    assert [run(image), run(image), run(image)] == [whole, whole, ["mul"]]
    assert [run(other), run(image), run(other)] == [whole] * 3
    with torch.inference_mode():
        untracked = torch.tensor([1.0, 2.0])
    assert [run(untracked), run(untracked), run(untracked)] == [whole] * 3


def test_the_first_steps_of_a_shape_are_not_replayed() -> None:
    replay = CapturedStep(lambda image: (image.sum(),), after=2)
    found = [replay(torch.ones(2)), replay(torch.ones(2)), replay(torch.ones(3)), replay(torch.ones(2))]
    assert [tensor is None for tensor in found] == [True, True, True, False]


class UserLayer(nn.Module):
    """A layer of a user's, which may do something else each time."""


class OwnLoss(BCE):
    """A user's."""


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.BatchNorm1d(1), UserLayer(), nn.RReLU()])
def test_a_network_with_random_stateful_or_unknown_layers_is_not_capturable(layer: nn.Module) -> None:
    assert not is_capturable(nn.Sequential(nn.Linear(1, 1), layer), BCE())


def test_a_network_with_hooks_is_not_capturable() -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(1, 1))

    assert is_capturable(network(), BCE())
    assert not is_capturable(network(), OwnLoss())
    watched = network()
    watched[0].register_forward_hook(lambda *_: None)
    assert not is_capturable(watched, BCE())
    watched = network()
    next(watched.parameters()).register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
    assert not is_capturable(watched, BCE())
