"""The evaluator of batches in memory, for one network and for several at once."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from copycat.models.evaluator import Outputs, evaluate
from copycat.models.losses import BCE, CrossEntropy, Loss
from copycat.models.stage_metrics import StageMetrics
from copycat.sweeps.packed.stacked_network import StackedNetwork

IMAGES = torch.rand(12, 3, 2, 2, generator=torch.Generator().manual_seed(0))
Batches = list[tuple[Tensor, Tensor]]


def make_network(seed: int, *, outputs: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, outputs))


def make_batches(size: int, *, classes: int) -> Batches:
    return list(zip(torch.split(IMAGES, size), torch.split(torch.arange(12) % classes, size), strict=True))


def evaluate_alone(network: nn.Module, loss: Loss, batches: Iterable[tuple[Tensor, Tensor]], *, classes: int) -> Tensor:
    def forward(batch: tuple[Tensor, Tensor]) -> Outputs:
        logits = network(batch[0])
        return loss(logits, batch[1])[None], loss.probability(logits)[None], batch[1][None]

    metrics = StageMetrics("val", classes=classes, reduction=loss.reduction)
    (row,), probability = evaluate(forward, batches, metrics, modules=[network, loss])
    return torch.cat([torch.tensor(list(row.values())), probability.flatten()])


@pytest.mark.parametrize("size", [12, 5])
@pytest.mark.parametrize(("classes", "outputs", "kind"), [(2, 1, BCE), (3, 3, CrossEntropy)])
def test_networks_that_are_evaluated_at_once_measure_what_each_does_alone(
    size: int, classes: int, outputs: int, kind: type[Loss]
) -> None:
    batches, seeds = make_batches(size, classes=classes), (1, 2, 3)
    alone = [evaluate_alone(make_network(seed, outputs=outputs), kind(), batches, classes=classes) for seed in seeds]
    networks = [make_network(seed, outputs=outputs) for seed in seeds]
    stack = StackedNetwork(networks, [kind() for _ in seeds], device=torch.device("cpu"))

    def forward(batch: tuple[Tensor, Tensor]) -> Outputs:
        losses, logits = stack(*batch, shared=True)
        probability = torch.stack([stack.loss.probability(each) for each in logits])
        return losses, probability, batch[1].expand(len(seeds), -1)

    metrics = StageMetrics("val", classes=classes, reduction="mean")
    rows, probability = evaluate(forward, batches, metrics, modules=[stack.skeleton, stack.loss])
    for row, said, expected in zip(rows, probability, alone, strict=True):
        found = torch.cat([torch.tensor(list(row.values())), said.flatten()])
        torch.testing.assert_close(found, expected)


def test_modes_and_gradients_are_restored_even_after_an_error() -> None:
    network, loss = make_network(1, outputs=1), BCE()
    network[2].eval()  # as a network of one's own that freezes its statistics
    before = [module.training for module in network.modules()]
    running = {name: tensor.clone() for name, tensor in network.named_buffers()}
    evaluate_alone(network, loss, make_batches(12, classes=2), classes=2)
    assert [module.training for module in network.modules()] == before
    torch.testing.assert_close(dict(network.named_buffers()), running)
    with pytest.raises(RuntimeError):
        evaluate_alone(network, loss, [(IMAGES[:, :1], torch.arange(12) % 2)], classes=2)
    assert [module.training for module in network.modules()] == before
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
