"""What all losses share: class weights, shared and smoothed labels, denominators."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.models.losses import BCE, MSE, BCEWithLogits, CrossEntropy, Focal, Loss, MultiLabel, Reduction
from tests.support.losses import REDUCTIONS, WEIGHTS, make_batch, with_gradient

SOFT: list[tuple[Callable[..., Loss], int, int]] = [
    *((loss, 1, 2) for loss in (BCE, BCEWithLogits, MSE, Focal)),
    *((loss, classes, classes) for loss in (MSE, CrossEntropy, Focal) for classes in (3, 5)),
    (CrossEntropy, 2, 2),
]
"""Each with its logits and classes."""


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "outputs", "classes"), SOFT)
def test_a_class_has_its_share_of_the_cost_with_its_own_factor(
    kind: Callable[..., Loss], outputs: int, classes: int, weighted: bool, reduction: Reduction
) -> None:
    logits, label = make_batch(3, size=6, outputs=outputs, classes=classes)
    other = label.roll(1)
    kept = torch.rand(6, generator=torch.Generator().manual_seed(5))
    shares = kept[:, None] * F.one_hot(label, classes) + (1 - kept)[:, None] * F.one_hot(other, classes)
    factors = [0.5 + k for k in range(classes)] if weighted else None
    loss = kind(class_weights=factors, reduction=reduction)
    total = kind(class_weights=factors, reduction="sum")
    one = F.one_hot(label, classes).float()
    assert loss(logits, one).item() == pytest.approx(loss(logits, label).item(), rel=1e-6)

    def by_hand(x: Tensor) -> Tensor:
        """Each image alone, once for each of its labels."""
        costs = [
            share * total(x[at : at + 1], named[at : at + 1])
            for at in range(6)
            for share, named in ((kept[at], label), (1 - kept[at], other))
        ]
        if reduction == "sum":
            return torch.stack(costs).sum()
        by_factors = kind in (CrossEntropy, Focal) and outputs > 1 and factors is not None
        whole = (shares @ torch.tensor(factors)).sum() if by_factors else logits.numel() if kind is MSE else 6
        return torch.stack(costs).sum() / whole

    found, expected = (with_gradient(x, logits) for x in (lambda x: loss(x, shares), by_hand))
    assert torch.allclose(found[1], expected[1], rtol=1e-4, atol=1e-6)
    if kind is not MSE:  # whose constant is left out
        assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_smoothed_labels_cost_as_torch_s_do_on_one_logit_and_on_two(
    weight: list[float] | None, reduction: Reduction
) -> None:
    logits, label = make_batch(7, size=20, outputs=1, classes=2)
    both = torch.cat([torch.zeros(20, 1), logits], dim=1)
    factors = None if weight is None else torch.tensor(weight)
    theirs = nn.CrossEntropyLoss(factors, reduction=reduction, label_smoothing=0.2)
    expected = with_gradient(lambda x: theirs(x, label), both)
    ours = CrossEntropy(class_weights=weight, reduction=reduction, label_smoothing=0.2)
    found = with_gradient(lambda x: ours(x, label), both)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    # torch's mean of weighted cross-entropy is by factors, and of binary cross-entropy by images
    times = 1 if factors is None or reduction == "sum" else factors[label].mean()
    for kind in (BCE, BCEWithLogits):
        one = kind(class_weights=weight, reduction=reduction, label_smoothing=0.2)
        loss, gradient = with_gradient(lambda x, one=one: one(x, label), logits)
        assert loss.item() == pytest.approx(float(expected[0] * times), rel=1e-4)
        assert torch.allclose(gradient, expected[1][:, 1:] * times, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("kind", "outputs"), [(BCE, 1), (BCEWithLogits, 1), (CrossEntropy, 2), (Focal, 1)])
def test_labels_are_smoothed_in_training_alone(kind: Callable[..., Loss], outputs: int) -> None:
    logits, label = make_batch(11, size=9, outputs=outputs, classes=2)
    plain, smoothed = kind(), kind(label_smoothing=0.3)
    assert not torch.equal(smoothed(logits, label), plain(logits, label))
    assert torch.equal(smoothed.eval()(logits, label), plain(logits, label))
    share = F.one_hot(label, 2).float()
    mixed = kind(label_smoothing=0.3)(logits, share)
    assert torch.allclose(mixed, plain(logits, share * 0.7 + 0.15))


def test_smoothing_moves_targets_of_several_classes_toward_one_half_in_training_alone() -> None:
    logits, label = torch.tensor([[2.0, -1.0]]), torch.tensor([[1, 0]])
    loss = MultiLabel(label_smoothing=0.2)
    smoothed = F.binary_cross_entropy_with_logits(logits, torch.tensor([[0.9, 0.1]]))
    assert loss(logits, label).item() == pytest.approx(smoothed.item(), rel=1e-6)
    plain = F.binary_cross_entropy_with_logits(logits, label.float())
    assert loss.eval()(logits, label).item() == pytest.approx(plain.item(), rel=1e-6)


def test_mixed_images_count_as_the_larger_share_or_as_each_class_of_half_an_image() -> None:
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.5, 0.0, 1.0]])
    assert CrossEntropy().hard_labels(mixed).tolist() == [0, 2]
    assert MultiLabel().hard_labels(mixed).tolist() == [[1, 0, 0], [1, 0, 1]]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", [BCE, BCEWithLogits, MSE, CrossEntropy, Focal, MultiLabel])
def test_a_denominator_is_known_from_the_number_of_images_unless_classes_have_weights(
    kind: Callable[..., Loss], reduction: Reduction
) -> None:
    loss = kind(reduction=reduction)
    assert loss.fixed_denominator(3) == loss.denominator(torch.tensor([0, 1, 1]))
    assert kind(reduction=reduction, class_weights=[1.0, 3.0]).fixed_denominator(3) is None


@pytest.mark.parametrize("kind", [BCE, BCEWithLogits, MSE, CrossEntropy, Focal, MultiLabel])
def test_whole_class_weights_give_the_bits_of_the_same_real_ones(kind: Callable[..., Loss]) -> None:
    logits, label = make_batch(7, size=6, outputs=kind.out_features(2), classes=2)  # type: ignore[attr-defined]
    label = F.one_hot(label, 2) if kind is MultiLabel else label
    found, expected = (kind(class_weights=weights)(logits, label) for weights in ([1, 3], [1.0, 3.0]))
    assert torch.equal(found, expected)
